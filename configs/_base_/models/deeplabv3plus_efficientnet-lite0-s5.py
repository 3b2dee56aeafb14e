# DeepLabv3+ on the first five of the seven stages of EfficientNet-Lite0, for small images on a CPU.
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        # What the weights were trained with; not the usual ImageNet mean and std.
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
    ),
    backbone=dict(
        type="EfficientNetLite",
        arch="lite0",
        out_indices=(1, 2, 4),
        output_stride=16,
        norm_cfg=dict(type="BN", momentum=0.1),  # the original 0.01 is slow for short runs
        init_cfg=dict(type="Pretrained", checkpoint="efficientnet-lite0://"),
    ),
    decode_head=dict(
        type="DepthwiseSeparableASPPHead",
        in_channels=112,
        in_index=2,
        channels=64,
        dilations=(1, 2, 4),
        c1_in_channels=24,
        c1_channels=16,
        dropout_ratio=0.1,
        num_classes=8,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg={},
    test_cfg=dict(mode="whole"),
)
