# UniMatch V2 on Cityscapes.
_base_ = "./schedule_60e_dinov2.py"
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=180,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=180, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20))
