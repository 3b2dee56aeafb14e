# MMSegmentation's config has 320k in its name, but trains for 160k.
_base_ = [
    "mmseg::mobilenet_v3/mobilenet-v3-d8_lraspp_4xb4-320k_cityscapes-512x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
