_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../_base_/semi/camvid-1of8.py",
    "../_base_/schedules/schedule_1k.py",
    "../_base_/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model, **_base_.u2pl)
val_cfg = dict(type="TeacherStudentValLoop")
custom_hooks = [
    dict(type="DataCheckHook"),
    # 200 steps of 4 labeled images are 17 passes over the 46; the paper has 20 on Cityscapes.
    dict(type="MeanTeacherHook", sup_only_iters=200),
    dict(type="SemiStatisticsHook"),
    dict(type="LossCheckHook"),
]
