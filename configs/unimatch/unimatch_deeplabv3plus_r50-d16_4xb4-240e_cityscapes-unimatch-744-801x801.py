_base_ = "./unimatch_deeplabv3plus_r101-d16_4xb4-240e_cityscapes-unimatch-744-801x801.py"
model = dict(segmentor=dict(pretrained="open-mmlab://resnet50_v1c", backbone=dict(depth=50)))
