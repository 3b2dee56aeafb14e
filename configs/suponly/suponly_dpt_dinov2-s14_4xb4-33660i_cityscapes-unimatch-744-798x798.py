_base_ = [
    "../_base_/recipes/suponly_dpt_dinov2-s14_cityscapes.py",
    "../_base_/splits/cityscapes-unimatch-744.py",
]
train_dataloader = dict(dataset=_base_.labeled)
