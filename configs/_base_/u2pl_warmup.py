# The method after 8000 supervised-only iterations: 5 % of 160k, 10 % of 80k.
_base_ = "./u2pl.py"
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=8000),
    dict(type="SemiStatisticsHook"),
    dict(type="LossCheckHook"),
]
