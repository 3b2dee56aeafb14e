_base_ = "./deeplabv3plus_r101-d16.py"
model = dict(
    data_preprocessor=dict(size=(321, 321)),
    decode_head=dict(num_classes=21, loss_decode=dict(avg_non_ignore=True)),
)
