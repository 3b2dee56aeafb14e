_base_ = [
    "../_base_/recipes/unimatch_deeplabv3plus_r101-d16_voc2012-blender.py",
    "../_base_/splits/voc2012-blender-1323.py",
]
train_dataloader = dict(dataset=dict(labeled=_base_.labeled, unlabeled=_base_.unlabeled))
