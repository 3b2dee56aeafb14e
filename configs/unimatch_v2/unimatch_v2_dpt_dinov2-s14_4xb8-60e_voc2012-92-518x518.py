_base_ = [
    "../_base_/recipes/unimatch_v2_dpt_dinov2-s14_voc2012.py",
    "../_base_/splits/voc2012-92.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
