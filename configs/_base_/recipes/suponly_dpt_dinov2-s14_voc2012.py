# UniMatch V2's labeled-only row: a batch of 32 on 4 GPUs.
_base_ = [
    "../models/dpt_dinov2-s14_voc2012.py",
    "../datasets/voc2012_518x518.py",
    "../schedules/schedule_5580i_dinov2.py",
    "../methods/supervised.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"], allow_failed_imports=False)
train_dataloader = dict(
    batch_size=8, sampler=dict(_delete_=True, type="InfiniteSampler", shuffle=True)
)
auto_scale_lr = dict(enable=False, base_batch_size=32)
default_hooks = _base_.method_hooks
