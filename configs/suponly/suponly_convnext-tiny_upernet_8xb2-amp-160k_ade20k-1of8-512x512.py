# Imports and hooks are written out, because two bases must not share a key.
_base_ = [
    "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py",
    "../_base_/splits/ade20k-1of8.py",
]
train_dataloader = dict(dataset=_base_.labeled)
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"])
default_hooks = dict(
    checkpoint=dict(type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    loss_check=dict(type="LossCheckHook"),
)
