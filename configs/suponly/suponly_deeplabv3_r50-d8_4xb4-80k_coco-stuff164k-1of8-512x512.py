_base_ = [
    "mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-80k_coco-stuff164k-512x512.py",
    "../_base_/splits/coco-stuff164k-1of8.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
