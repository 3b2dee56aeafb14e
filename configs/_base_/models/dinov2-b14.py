# Differences of ViT-B from ViT-S; use them as
#   model = dict(segmentor=_base_.vit_b)
vit_b_weights = "https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth"
vit_b = dict(
    backbone=dict(arch="base", init_cfg=dict(checkpoint=vit_b_weights)),
    neck=dict(norm_channels=768, init_cfg=dict(checkpoint=vit_b_weights)),
    decode_head=dict(
        in_channels=(768,) * 4,
        embed_dims=768,
        post_process_channels=[96, 192, 384, 768],
        channels=128,
    ),
)
