_base_ = "./u2pl_deeplabv3plus_r101-d8_4xb8-80e_voc2012-92-513x513.py"
model = dict(segmentor=dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50)))
