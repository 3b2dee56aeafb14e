_base_ = "./u2pl_deeplabv3plus_r101-d8_8xb4-200e_cityscapes-372-769x769.py"
model = dict(segmentor=dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50)))
