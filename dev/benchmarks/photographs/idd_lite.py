# IDD Lite: streets in India, 320 x 227, 7 classes. `data_root` holds images/, masks/ and splits/.
_base_ = ["../../../configs/_base_/models/deeplabv3plus_efficientnet-lite0-s5.py", "./common.py"]
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
source = dict(data_root="data/idd_lite", metainfo=dict(classes=classes, palette=palette))
model = dict(decode_head=dict(num_classes=7))
train_dataloader = dict(dataset=dict(source, ann_file="splits/1of32/labeled.txt"))
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
