_base_ = "./unimatch_deeplabv3plus_r101-d16_4xb4-80e_voc2012-183-321x321.py"
model = dict(segmentor=dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50)))
