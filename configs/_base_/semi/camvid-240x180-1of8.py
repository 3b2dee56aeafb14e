# 46 labeled and 321 unlabeled frames.
_base_ = "../datasets/camvid-240x180.py"
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler", ratio=(1, 1)),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=dict(_base_.train_dataloader.dataset, ann_file="splits/1of8/labeled.txt"),
        # The rest is as for the labeled images. Masks only serve to score pseudo-labels.
        unlabeled=dict(ann_file="splits/1of8/unlabeled.txt", score_pseudo_labels=True),
    ),
)
