_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../_base_/datasets/camvid.py",
    "../_base_/schedules/schedule_1k.py",
    "mmseg::_base_/default_runtime.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=dict(ann_file="splits/1of8/labeled.txt"))
default_hooks = _base_.method_hooks
