# The labeled-only rows of UniMatch V2 on ADE20K: 60 times 6000 images in batches of 16.
_base_ = "./schedule_5580i_dinov2.py"
param_scheduler = [dict(type="PolyLR", eta_min=0.0, power=0.9, begin=0, end=22500, by_epoch=False)]
train_cfg = dict(max_iters=22500, val_interval=3750)
default_hooks = dict(checkpoint=dict(interval=3750))
