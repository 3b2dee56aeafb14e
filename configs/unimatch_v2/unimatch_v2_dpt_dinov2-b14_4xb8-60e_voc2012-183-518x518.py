_base_ = [
    "./unimatch_v2_dpt_dinov2-s14_4xb8-60e_voc2012-183-518x518.py",
    "../_base_/models/dinov2-b14.py",
]
model = dict(segmentor=_base_.vit_b)
