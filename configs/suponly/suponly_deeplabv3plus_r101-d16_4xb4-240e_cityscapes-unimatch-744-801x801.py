_base_ = [
    "../_base_/recipes/suponly_deeplabv3plus_r101-d16_cityscapes.py",
    "../_base_/splits/cityscapes-unimatch-744.py",
]
train_dataloader = dict(dataset=dict(dataset=_base_.labeled))
