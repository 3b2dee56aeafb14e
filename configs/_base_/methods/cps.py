# Cross pseudo supervision, CutMix form; unsup_weight=5.0 on Cityscapes. It trains two networks.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="CPS")
