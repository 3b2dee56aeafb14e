# The paper on Cityscapes: SGD, 200 epochs, polynomial decay, a single learning rate.
_base_ = "./schedule_80e_voc2012.py"
optim_wrapper = dict(
    optimizer=dict(lr=0.01, weight_decay=0.0005), paramwise_cfg=dict(_delete_=True)
)
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=200,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=200, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20))
