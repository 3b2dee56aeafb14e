# Only labeled images, with the same checks and checkpoints. Use it as
#   default_hooks = _base_.method_hooks
custom_imports = dict(imports=["mmseg_u2pl"], allow_failed_imports=False)
method_hooks = dict(
    checkpoint=dict(type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    loss_check=dict(type="LossCheckHook"),
)
