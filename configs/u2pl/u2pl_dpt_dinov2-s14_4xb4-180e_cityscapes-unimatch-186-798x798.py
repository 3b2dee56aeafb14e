_base_ = [
    "../_base_/recipes/u2pl_dpt_dinov2-s14_cityscapes.py",
    "../_base_/splits/cityscapes-unimatch-186.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
