_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0-s5.py",
    "../_base_/semi/camvid-240x180-1of8.py",
    "../_base_/schedules/schedule_demo.py",
    "../_base_/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(
    _delete_=True,
    type="U2PL",
    segmentor={**_base_.model, "decode_head": dict(_base_.model.decode_head, num_classes=11)},
    projector=dict(embed_dims=64),
    **_base_.u2pl,
)
val_cfg = dict(type="TeacherStudentValLoop")
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=350),
    dict(type="SemiStatisticsHook"),
    dict(type="LossCheckHook"),
]
