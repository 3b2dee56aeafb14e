# UniMatch V2 on VOC and ADE20K: AdamW, forty times the learning rate for the decoder. Its loss is
# half of ours, which makes no difference to AdamW.
_base_ = "./schedule_80e_voc2012.py"
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=5e-6, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={"decode_head": dict(lr_mult=40.0), "projector": dict(lr_mult=40.0)}
    ),
)
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=60,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=60)
