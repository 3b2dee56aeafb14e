_base_ = [
    "../_base_/recipes/unimatch_v2_dpt_dinov2-s14_ade20k.py",
    "../_base_/splits/ade20k-unimatch-2526.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
