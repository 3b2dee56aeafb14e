_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0-s5.py",
    "../_base_/datasets/builtin.py",
    "../_base_/schedules/schedule_demo.py",
    "mmseg::_base_/default_runtime.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=dict(ann_file="ImageSets/Segmentation/labeled.txt"))
default_hooks = _base_.method_hooks
