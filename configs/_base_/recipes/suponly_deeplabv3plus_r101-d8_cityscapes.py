# The paper's supervised-only row: a batch of 16 on 8 GPUs, 200 passes over the labeled list.
# auto_scale_lr.enable=True scales the learning rate to another batch size; with 16 / G images on
# each of G GPUs, this is not needed. dataset.times=N makes an epoch N passes.
_base_ = [
    "../models/deeplabv3plus_r101-d8_cityscapes.py",
    "../datasets/cityscapes.py",
    "../schedules/schedule_200e_cityscapes.py",
    "../methods/supervised.py",
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True),
    dataset=dict(
        _delete_=True, type="RepeatDataset", times=1, dataset=_base_.train_dataloader.dataset
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = _base_.method_hooks
