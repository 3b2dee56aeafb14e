# Only hard pixels (OHEM) supervise the network.
_base_ = "./deeplabv3plus_r101-d16.py"
model = dict(
    data_preprocessor=dict(size=(801, 801)),
    decode_head=dict(
        loss_decode=dict(_delete_=True, type="OHEMCrossEntropyLoss", thresh=0.7, min_kept=200000)
    ),
    test_cfg=dict(mode="slide", crop_size=(801, 801), stride=(534, 534)),
)
