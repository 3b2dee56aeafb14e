_base_ = [
    "../_base_/recipes/suponly_dpt_dinov2-s14_ade20k.py",
    "../_base_/splits/ade20k-unimatch-5052.py",
]
train_dataloader = dict(dataset=_base_.labeled)
