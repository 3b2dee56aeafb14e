# The paper's network: ResNet-101 with deep stem, output stride 8 and multi-grid; DeepLabv3+ with
# plain convolutions at stride 4.
_base_ = "mmseg::_base_/models/deeplabv3plus_r50-d8.py"
model = dict(
    pretrained="open-mmlab://resnet101_v1c",
    # Dilations of the last stage: 4 times the grid (1, 2, 4). MMSegmentation does not multiply.
    backbone=dict(depth=101, multi_grid=(4, 8, 16)),
    decode_head=dict(type="DeepLabV3PlusHead", channels=256, c1_channels=256, align_corners=True),
    auxiliary_head=dict(align_corners=True),
)
