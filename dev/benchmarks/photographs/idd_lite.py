# IDD Lite: streets in India, 320 x 227, 7 classes. `data_root` holds images/, masks/ and splits/.
_base_ = [
    "../../../configs/_base_/models/deeplabv3plus_efficientnet-lite0-s5.py",
    "../../../configs/_base_/schedules/schedule_demo.py",
    "mmseg::_base_/default_runtime.py",
]
crop_size = (128, 128)
classes = (
    "drivable",
    "non-drivable",
    "living things",
    "vehicles",
    "roadside objects",
    "far objects",
    "sky",
)
palette = [
    [128, 64, 128],
    [244, 35, 232],
    [220, 20, 60],
    [0, 0, 142],
    [190, 153, 153],
    [70, 70, 70],
    [70, 130, 180],
]
model = dict(data_preprocessor=dict(size=crop_size), decode_head=dict(num_classes=len(classes)))
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(320, 227), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
dataset = dict(
    type="BaseSegDataset",
    metainfo=dict(classes=classes, palette=palette),
    data_root="data/idd_lite",
    data_prefix=dict(img_path="images", seg_map_path="masks"),
    img_suffix=".jpg",
    seg_map_suffix=".png",
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(dataset, ann_file="splits/1of32/labeled.txt", pipeline=train_pipeline),
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
