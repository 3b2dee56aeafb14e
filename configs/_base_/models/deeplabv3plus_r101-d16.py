# UniMatch's network: output stride 16 without multi-grid, 48 channels at stride 4, a 1 x 1
# convolution after the pyramid, no dropout and no auxiliary head.
_base_ = "./deeplabv3plus_r101-d8.py"
model = dict(
    backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), multi_grid=None),
    decode_head=dict(c1_channels=48, dilations=(1, 6, 12, 18), pyramid_kernel=1, dropout_ratio=0.0),
    auxiliary_head=None,
)
