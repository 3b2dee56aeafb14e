# UPerNet on a backbone of MMPretrain, with MMSegmentation's data and schedule for Swin-T, whose
# maps have the same widths. For another backbone, change `backbone`; see docs/any_model.md.
_base_ = "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmpretrain.ConvNeXt",
        arch="tiny",
        use_grn=True,
        layer_scale_init_value=0.0,
        drop_path_rate=0.3,
        gap_before_final_norm=False,
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/convnext-v2/convnext-v2-tiny_fcmae-pre_3rdparty_in1k_20230104-471a86de.pth",
            prefix="backbone.",
        ),
    ),
)
