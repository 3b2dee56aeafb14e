# The paper on Cityscapes: 16 labeled and 16 unlabeled images per step on 8 GPUs. An epoch is one
# pass over the longer list; the first 20 use only labeled images. auto_scale_lr.enable=True scales
# the learning rate to another batch size; with 32 / G images on each of G GPUs, this is not needed.
_base_ = [
    "../models/deeplabv3plus_r101-d8_cityscapes.py",
    "../datasets/cityscapes.py",
    "../schedules/schedule_200e_cityscapes.py",
    "../methods/u2pl.py",
]
model = dict(
    _delete_=True,
    segmentor=_base_.model,
    embedding_source="decode_head.fusion",  # its input has 512 channels at stride 4
    projector=dict(kernel_size=3),
    **_base_.method,
)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    drop_last=True,  # as in the authors' code; batch norm needs more than one image
    sampler=dict(_delete_=True, type="DualStreamSampler", ratio=(1, 1), infinite=False),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=_base_.train_dataloader.dataset,
        unlabeled=dict(),
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=32)
val_cfg = dict(type="SemiValLoop")
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_epochs=20)
)
