_base_ = [
    "./suponly_dpt_dinov2-s14_4xb4-33660i_cityscapes-unimatch-372-798x798.py",
    "../_base_/models/dinov2-b14.py",
]
model = _base_.vit_b
