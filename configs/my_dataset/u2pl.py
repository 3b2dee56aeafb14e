# Labeled and unlabeled images; the first 100 of 1000 iterations use only labeled images. From a
# trained model of suponly.py, as docs/guide.md advises, set load_from and sup_only_iters=0. For
# another method, use its file in _base_/methods.
_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../_base_/datasets/custom.py",
    "../_base_/schedules/schedule_1k.py",
    "../_base_/methods/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
segmentor = dict(
    _base_.model,
    data_preprocessor=dict(_base_.model.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(_base_.model.decode_head, num_classes=len(_base_.classes)),
)
model = dict(_delete_=True, segmentor=segmentor, **_base_.method)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=_base_.train_dataloader.dataset,
        unlabeled=_base_.unlabeled,
    ),
)
val_cfg = dict(type="SemiValLoop")
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=100)
)
