# 46 labeled and 321 unlabeled frames.
_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../_base_/datasets/camvid.py",
    "../_base_/schedules/schedule_1k.py",
    "../_base_/methods/u2pl.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
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
# 200 steps of 4 labeled images are 17 passes over the 46; the paper has 20 on Cityscapes.
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=200)
)
