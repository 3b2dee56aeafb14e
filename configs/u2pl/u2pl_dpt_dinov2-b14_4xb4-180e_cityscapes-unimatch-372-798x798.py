_base_ = [
    "./u2pl_dpt_dinov2-s14_4xb4-180e_cityscapes-unimatch-372-798x798.py",
    "../_base_/models/dinov2-b14.py",
]
model = dict(segmentor=_base_.vit_b)
