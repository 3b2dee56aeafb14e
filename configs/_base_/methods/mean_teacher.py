# CutMix + Mean Teacher; mixing="none" for plain Mean Teacher.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="MeanTeacher")
