_base_ = [
    "../_base_/recipes/suponly_dpt_dinov2-s14_voc2012.py",
    "../_base_/splits/voc2012-1464.py",
]
train_dataloader = dict(dataset=_base_.labeled)
