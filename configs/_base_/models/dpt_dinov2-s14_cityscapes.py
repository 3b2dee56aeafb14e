_base_ = "./dpt_dinov2-s14.py"
model = dict(
    # Windows of 57 x 57 patches.
    data_preprocessor=dict(size=(798, 798), test_cfg=None),
    decode_head=dict(
        num_classes=19,
        loss_decode=dict(_delete_=True, type="OHEMCrossEntropyLoss", thresh=0.7, min_kept=200000),
    ),
    test_cfg=dict(mode="slide", crop_size=(798, 798), stride=(532, 532)),
)
