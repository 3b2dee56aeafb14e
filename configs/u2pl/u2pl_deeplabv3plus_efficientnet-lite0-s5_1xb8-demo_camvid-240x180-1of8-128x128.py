# 46 labeled and 321 unlabeled frames.
_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0-s5.py",
    "../_base_/datasets/camvid-240x180.py",
    "../_base_/schedules/schedule_demo.py",
    "../_base_/methods/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(
    _delete_=True,
    segmentor={**_base_.model, "decode_head": dict(_base_.model.decode_head, num_classes=11)},
    projector=dict(embed_dims=64),
    **_base_.method,
)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=dict(_base_.train_dataloader.dataset, ann_file="splits/1of8/labeled.txt"),
        # The rest is as for the labeled images. Masks only serve to score pseudo-labels.
        unlabeled=dict(ann_file="splits/1of8/unlabeled.txt", score_pseudo_labels=True),
    ),
)
val_cfg = dict(type="SemiValLoop")
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=350)
)
