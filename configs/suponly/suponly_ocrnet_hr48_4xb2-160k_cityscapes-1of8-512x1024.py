_base_ = [
    "mmseg::ocrnet/ocrnet_hr48_4xb2-160k_cityscapes-512x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
]
train_dataloader = dict(dataset=_base_.labeled)
