# DPT on DINOv2's ViT-S; needs mmpretrain. Crops of 512 x 512 are padded to 37 x 37 patches of side
# 14.
_base_ = "mmseg::dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512.py"
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
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/vit-small-p14_dinov2-pre_3rdparty_20230426-5641ca5a.pth",
            prefix="backbone.",
        ),
    ),
    neck=dict(type="MapsForDPT"),
    decode_head=dict(in_channels=(384,) * 4, embed_dims=384, readout_type="ignore"),
)
