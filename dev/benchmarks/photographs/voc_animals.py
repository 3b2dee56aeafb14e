# VOC 2012 with the photographs of six animals; longer side 320. docs/results.md says where the data
# comes from. `data_root` holds images/, masks/ and splits/.
_base_ = [
    "../../../configs/_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../../../configs/_base_/schedules/schedule_demo.py",
    "mmseg::_base_/default_runtime.py",
]
crop_size = (128, 128)
classes = ("background", "cat", "cow", "dog", "horse", "person", "sheep")
palette = [
    [0, 0, 0],
    [64, 0, 0],
    [64, 128, 0],
    [64, 0, 128],
    [192, 0, 128],
    [192, 128, 128],
    [128, 64, 0],
]
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(norm_cfg=dict(momentum=0.1)),  # the original 0.01 is slow for short runs
    decode_head=dict(num_classes=len(classes)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(256, 256), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(256, 256), keep_ratio=True),
    dict(type="LoadAnnotations"),  # after Resize: masks keep their size
    dict(type="PackSegInputs"),
]
dataset = dict(
    type="BaseSegDataset",
    metainfo=dict(classes=classes, palette=palette),
    data_root="data/voc_animals",
    data_prefix=dict(img_path="images", seg_map_path="masks"),
    img_suffix=".jpg",
    seg_map_suffix=".png",
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(dataset, ann_file="splits/104/labeled.txt", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(dataset, ann_file="splits/val.txt", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
