# CutMix + Mean Teacher; mixing="none" for Mean Teacher alone.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="MeanTeacher")
