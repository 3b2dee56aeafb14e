# No auxiliary head.
_base_ = "./deeplabv3plus_r101-d8.py"
model = dict(
    # VOC's images have at most 500 x 500 pixels, so the paper's center crop of 513 x 513 is the
    # whole image with a border.
    data_preprocessor=dict(size=(513, 513), test_cfg=dict(size=(513, 513))),
    decode_head=dict(num_classes=21, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=None,
)
