# Takes a few minutes on two CPU cores.
_base_ = "./schedule_1k.py"
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=0.001, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={"decode_head": dict(lr_mult=5.0), "projector": dict(lr_mult=5.0)}
    ),
)
param_scheduler = [dict(type="PolyLR", eta_min=1e-6, power=0.9, begin=0, end=700, by_epoch=False)]
train_cfg = dict(max_iters=700, val_interval=700)
default_hooks = dict(checkpoint=dict(interval=700))
