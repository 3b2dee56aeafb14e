# U2PL with the paper's values; docs/algorithm.md lists its options. Use it as
#   model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
#   default_hooks = _base_.method_hooks
custom_imports = dict(imports=["mmseg_u2pl"], allow_failed_imports=False)
method = dict(type="U2PL")
method_hooks = dict(
    checkpoint=dict(type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    mean_teacher=dict(type="MeanTeacherHook"),
    semi_statistics=dict(type="SemiStatisticsHook"),
    loss_check=dict(type="LossCheckHook"),
)
