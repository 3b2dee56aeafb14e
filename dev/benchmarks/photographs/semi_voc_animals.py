_base_ = ["./voc_animals.py", "../../../configs/_base_/methods/u2pl.py"]
model = dict(_delete_=True, segmentor=_base_.model, projector=dict(embed_dims=64), **_base_.method)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=_base_.train_dataloader.dataset,
        unlabeled=dict(ann_file="splits/104/unlabeled.txt", score_pseudo_labels=True),
    ),
)
val_cfg = dict(type="SemiValLoop")
default_hooks = _base_.method_hooks
