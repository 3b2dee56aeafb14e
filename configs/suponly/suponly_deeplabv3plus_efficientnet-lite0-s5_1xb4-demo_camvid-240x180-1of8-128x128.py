_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0-s5.py",
    "../_base_/datasets/camvid-240x180.py",
    "../_base_/schedules/schedule_demo.py",
    "mmseg::_base_/default_runtime.py",
    "../_base_/methods/supervised.py",
]
model = dict(decode_head=dict(num_classes=11))
train_dataloader = dict(dataset=dict(ann_file="splits/1of8/labeled.txt"))
default_hooks = _base_.method_hooks
