# UniMatch's labeled-only row: a batch of 16 on 4 GPUs, 80 passes over the labeled list. Its loss
# is not halved, and neither is the learning rate.
_base_ = [
    "../models/deeplabv3plus_r101-d16_voc2012.py",
    "../datasets/voc2012_321x321.py",
    "../schedules/schedule_80e_voc2012-unimatch.py",
    "../methods/supervised.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=0.0001))
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True),
    dataset=dict(
        _delete_=True, type="RepeatDataset", times=1, dataset=_base_.train_dataloader.dataset
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = _base_.method_hooks
