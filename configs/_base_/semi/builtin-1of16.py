# 30 labeled and 450 unlabeled images.
_base_ = "../datasets/builtin.py"
train_dataloader = dict(
    batch_size=16,  # 8 labeled, 8 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler", ratio=(1, 1)),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=dict(
            _base_.train_dataloader.dataset, ann_file="ImageSets/Segmentation/labeled.txt"
        ),
        # The rest is as for the labeled images. Masks only serve to score pseudo-labels.
        unlabeled=dict(ann_file="ImageSets/Segmentation/unlabeled.txt", score_pseudo_labels=True),
    ),
)
