_base_ = [
    "mmseg::ocrnet/ocrnet_hr48_4xb2-160k_cityscapes-512x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
