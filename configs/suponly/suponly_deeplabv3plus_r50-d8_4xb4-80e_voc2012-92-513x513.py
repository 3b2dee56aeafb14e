_base_ = "./suponly_deeplabv3plus_r101-d8_4xb4-80e_voc2012-92-513x513.py"
model = dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50))
