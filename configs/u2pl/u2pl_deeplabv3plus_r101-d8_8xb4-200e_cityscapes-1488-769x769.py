_base_ = [
    "../_base_/recipes/u2pl_deeplabv3plus_r101-d8_cityscapes.py",
    "../_base_/splits/cityscapes-1488.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
