_base_ = "./suponly_deeplabv3plus_r101-d8_8xb2-200e_cityscapes-744-769x769.py"
model = dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50))
