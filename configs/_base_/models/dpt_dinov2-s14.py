# UniMatch V2's network: DINOv2 ViT-S/14, whose last layer norm is applied to four layers, and a
# narrow DPT without batch norm and dropout. It needs mmpretrain.
_base_ = "mmseg::_base_/models/dpt_vit-b16.py"
weights = "https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/vit-small-p14_dinov2-pre_3rdparty_20230426-5641ca5a.pth"
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(518, 518), test_cfg=dict(size_divisor=14)),
    backbone=dict(
        _delete_=True,
        type="mmpretrain.VisionTransformer",
        arch="dinov2-small",
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        out_indices=(2, 5, 8, 11),
        out_type="featmap",
        final_norm=False,
        init_cfg=dict(type="Pretrained", checkpoint=weights, prefix="backbone."),
    ),
    neck=dict(
        type="MapsForDPT",
        norm_channels=384,
        init_cfg=dict(type="Pretrained", checkpoint=weights, prefix="backbone.ln1."),
    ),
    decode_head=dict(
        in_channels=(384,) * 4,
        embed_dims=384,
        post_process_channels=[48, 96, 192, 384],
        channels=64,
        readout_type="ignore",
        norm_cfg=None,
        dropout_ratio=0.0,
        align_corners=True,
        loss_decode=dict(avg_non_ignore=True),
    ),
)
