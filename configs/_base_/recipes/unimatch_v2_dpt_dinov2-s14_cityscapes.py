# UniMatch V2 on Cityscapes: 8 labeled and 8 unlabeled images per step on 4 GPUs. An epoch is one
# pass over the longer list. auto_scale_lr.enable=True scales the learning rate to another batch
# size; with 16 / G images on each of G GPUs, this is not needed.
_base_ = [
    "../models/dpt_dinov2-s14_cityscapes.py",
    "../datasets/cityscapes_798x798.py",
    "../schedules/schedule_180e_dinov2.py",
    "../methods/unimatch_v2.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"], allow_failed_imports=False)
model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    drop_last=True,  # as in the authors' code
    sampler=dict(_delete_=True, type="DualStreamSampler", ratio=(1, 1), infinite=False),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=_base_.train_dataloader.dataset,
        unlabeled=dict(),
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
val_cfg = dict(type="SemiValLoop")
default_hooks = _base_.method_hooks
