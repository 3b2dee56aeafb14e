# The labeled-only rows of UniMatch V2 on VOC: 60 times 3000 images in batches of 32.
_base_ = "./schedule_60e_dinov2.py"
param_scheduler = [dict(type="PolyLR", eta_min=0.0, power=0.9, begin=0, end=5580, by_epoch=False)]
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=5580, val_interval=930)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=930)
)
log_processor = dict(by_epoch=False)
