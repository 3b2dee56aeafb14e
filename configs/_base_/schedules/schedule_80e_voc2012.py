# The paper on VOC: SGD, 80 epochs, polynomial decay, ten times the learning rate for the decoder.
_base_ = "mmseg::_base_/default_runtime.py"
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.001, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(
        custom_keys={"decode_head": dict(lr_mult=10.0), "projector": dict(lr_mult=10.0)}
    ),
)
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=80,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=80, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=10, max_keep_ckpts=1),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
log_processor = dict(by_epoch=True)
randomness = dict(seed=0)
