_base_ = [
    "mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
]
train_dataloader = dict(dataset=_base_.labeled)
