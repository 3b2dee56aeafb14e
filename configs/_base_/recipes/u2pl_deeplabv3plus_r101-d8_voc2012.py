# The paper on VOC: 16 labeled and 16 unlabeled images a step on 4 GPUs; an epoch is one pass over
# the unlabeled list, the first one uses the labeled images alone. auto_scale_lr.enable=True scales
# the learning rate to another batch; on G GPUs with 32 / G images each there is nothing to scale.
_base_ = [
    "../models/deeplabv3plus_r101-d8_voc2012.py",
    "../datasets/voc2012.py",
    "../schedules/schedule_80e_voc2012.py",
    "../methods/u2pl.py",
]
model = dict(
    _delete_=True,
    segmentor=_base_.model,
    embedding_source="decode_head.fusion",  # what enters it: 512 channels, stride 4
    projector=dict(kernel_size=3),
    contrastive_head=dict(queue_size=[50000] + [30000] * 20),  # more for the background
    **_base_.method,
)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    drop_last=True,  # as in the authors' code; batch norm cannot do with one image
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
