# The paper on VOC: 16 labeled and 16 unlabeled images per step on 4 GPUs. An epoch is one pass over
# the unlabeled list; the first one uses only labeled images. auto_scale_lr.enable=True scales the
# learning rate to another batch size; with 32 / G images on each of G GPUs, this is not needed.
_base_ = [
    "../models/deeplabv3plus_r101-d8_voc2012.py",
    "../datasets/voc2012.py",
    "../schedules/schedule_80e_voc2012.py",
    "../methods/u2pl.py",
]
model = dict(
    _delete_=True,
    segmentor=_base_.model,
    embedding_source="decode_head.fusion",  # its input has 512 channels at stride 4
    projector=dict(kernel_size=3),
    contrastive_head=dict(queue_size=[50000] + [30000] * 20),  # more for the background
    **_base_.method,
)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
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
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_epochs=1)
)
