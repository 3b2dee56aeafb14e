# UniMatch's labeled-only row: a batch of 16 on 4 GPUs, 240 passes over the labeled list. Its loss
# is not halved, and neither is the learning rate.
_base_ = [
    "../models/deeplabv3plus_r101-d16_cityscapes.py",
    "../datasets/cityscapes_801x801.py",
    "../schedules/schedule_240e_cityscapes-unimatch.py",
    "../methods/supervised.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.005, weight_decay=0.0001))
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True),
    dataset=dict(
        _delete_=True, type="RepeatDataset", times=1, dataset=_base_.train_dataloader.dataset
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = _base_.method_hooks
