_base_ = [
    "../_base_/recipes/upernet_convnext-v2-tiny_ade20k.py",
    "../_base_/splits/ade20k-1of8.py",
    "../_base_/methods/supervised.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"], allow_failed_imports=False)
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
