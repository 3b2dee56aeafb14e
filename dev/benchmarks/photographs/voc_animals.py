# Photographs of VOC 2012 with five kinds of animals and persons, at a longer side of 160 pixels. A
# crop holds most of an image, as in published VOC configs. `data_root` holds images/, masks/ and
# splits/.
_base_ = ["../../../configs/_base_/models/deeplabv3plus_efficientnet-lite0.py", "./common.py"]
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
source = dict(data_root="data/voc_animals", metainfo=dict(classes=classes, palette=palette))
size = (160, 160)
changes = dict(
    RandomResize=dict(scale=size, ratio_range=(0.5, 2.0)),
    RandomCrop=dict(crop_size=size),
)
train_pipeline = [dict(step, **changes.get(step["type"], {})) for step in _base_.train_pipeline]
load_image, *rest = _base_.test_pipeline
# Masks are loaded after Resize, so they keep their size.
test_pipeline = [load_image, dict(type="Resize", scale=size, keep_ratio=True), *rest]
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(norm_cfg=dict(momentum=0.1)),  # the original 0.01 is slow for short runs
    decode_head=dict(num_classes=7),
)
labeled = dict(source, ann_file="splits/104/labeled.txt", pipeline=train_pipeline)
train_dataloader = dict(dataset=labeled)
val_dataloader = dict(dataset=dict(source, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(source, pipeline=test_pipeline))
