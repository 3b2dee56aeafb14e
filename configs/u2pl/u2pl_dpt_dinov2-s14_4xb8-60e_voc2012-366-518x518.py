_base_ = [
    "../_base_/recipes/u2pl_dpt_dinov2-s14_voc2012.py",
    "../_base_/splits/voc2012-366.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
