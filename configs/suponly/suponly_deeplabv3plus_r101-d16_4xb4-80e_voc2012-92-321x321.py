_base_ = [
    "../_base_/recipes/suponly_deeplabv3plus_r101-d16_voc2012.py",
    "../_base_/splits/voc2012-92.py",
]
train_dataloader = dict(dataset=dict(dataset=_base_.labeled))
