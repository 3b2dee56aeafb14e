# The first five of the seven stages, for small images on a CPU.
_base_ = "./deeplabv3plus_efficientnet-lite0.py"
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        out_indices=(1, 2, 4),
        norm_cfg=dict(momentum=0.1),  # the original 0.01 is slow for short runs
    ),
    decode_head=dict(
        in_channels=112,
        in_index=2,
        channels=64,
        dilations=(1, 2, 4),
        c1_channels=16,
        num_classes=8,
    ),
)
