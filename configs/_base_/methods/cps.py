# Cross pseudo supervision with CutMix, which trains two networks; unsup_weight=5.0 on Cityscapes.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="CPS")
