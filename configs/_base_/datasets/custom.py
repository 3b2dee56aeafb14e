# Your own data: copy or edit this file. The tools in docs/datasets.md write this layout.
dataset_type = "BaseSegDataset"
data_root = "data/mine"
classes = ("background", "object")
crop_size = (192, 192)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    # About the size of your images, or smaller for speed.
    dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(480, 360), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
dataset = dict(
    type=dataset_type,
    metainfo=dict(classes=classes),
    data_root=data_root,
    data_prefix=dict(img_path="images", seg_map_path="masks"),  # .jpg and .png
)
labeled = dict(ann_file="splits/labeled.txt")
unlabeled = dict(ann_file="splits/unlabeled.txt")
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(dataset, pipeline=train_pipeline, **labeled),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, pipeline=test_pipeline, ann_file="splits/val.txt"),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
