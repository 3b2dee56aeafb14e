_base_ = [
    "../_base_/recipes/unimatch_deeplabv3plus_r101-d16_cityscapes.py",
    "../_base_/splits/cityscapes-unimatch-1488.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
