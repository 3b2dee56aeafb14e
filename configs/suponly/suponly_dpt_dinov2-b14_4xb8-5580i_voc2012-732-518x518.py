_base_ = [
    "./suponly_dpt_dinov2-s14_4xb8-5580i_voc2012-732-518x518.py",
    "../_base_/models/dinov2-b14.py",
]
model = _base_.vit_b
