_base_ = [
    "./unimatch_v2_dpt_dinov2-s14_4xb4-180e_cityscapes-unimatch-1488-798x798.py",
    "../_base_/models/dinov2-b14.py",
]
model = dict(segmentor=_base_.vit_b)
