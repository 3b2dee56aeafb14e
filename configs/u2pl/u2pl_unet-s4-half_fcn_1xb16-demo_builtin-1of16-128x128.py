_base_ = [
    "../_base_/models/fcn_unet-s4-half.py",
    "../_base_/semi/builtin-1of16.py",
    "../_base_/schedules/schedule_demo.py",
    "../_base_/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(
    _delete_=True,
    type="U2PL",
    segmentor=_base_.model,
    projector=dict(embed_dims=64),
    **_base_.u2pl,
)
val_cfg = dict(type="TeacherStudentValLoop")
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=250),
]
