_base_ = [
    "./suponly_dpt_dinov2-s14_4xb4-22500i_ade20k-unimatch-2526-518x518.py",
    "../_base_/models/dinov2-b14.py",
]
model = _base_.vit_b
