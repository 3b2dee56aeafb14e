_base_ = [
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_loveda-512x512.py",
    "../_base_/splits/loveda-1of8.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
