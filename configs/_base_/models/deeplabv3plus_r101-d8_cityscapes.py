# Only hard pixels (OHEM) supervise the network and its auxiliary head.
_base_ = "./deeplabv3plus_r101-d8.py"
ohem = dict(_delete_=True, type="OHEMCrossEntropyLoss", thresh=0.7, min_kept=100000)
model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(loss_decode=ohem),
    auxiliary_head=dict(loss_decode=dict(ohem, loss_weight=0.4)),
    test_cfg=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
)
