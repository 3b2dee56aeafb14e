_base_ = [
    "./u2pl_dpt_dinov2-s14_4xb8-60e_voc2012-1464-518x518.py",
    "../_base_/models/dinov2-b14.py",
]
model = dict(segmentor=_base_.vit_b)
