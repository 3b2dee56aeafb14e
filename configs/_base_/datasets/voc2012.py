# VOC 2012 with SBD's masks, 10582 training images; docs/datasets.md says how to get them.
_base_ = "mmseg::_base_/datasets/pascal_voc12.py"
crop_size = (513, 513)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    # The longer side of almost every image is 500 pixels: a factor of 0.5 to 2 to its own size.
    dict(type="RandomResize", scale=(500, 500), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    pin_memory=True,
    dataset=dict(
        data_prefix=dict(seg_map_path="SegmentationClassAug"),
        ann_file="ImageSets/Segmentation/trainaug.txt",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
