# Only labeled images. For another network, use its file in _base_/models or MMSegmentation
# ("mmseg::_base_/models/..."), and set the number of classes in each of its heads.
_base_ = [
    "../_base_/models/deeplabv3plus_efficientnet-lite0.py",
    "../_base_/datasets/custom.py",
    "../_base_/schedules/schedule_1k.py",
    "../_base_/methods/supervised.py",
    "mmseg::_base_/default_runtime.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=len(_base_.classes)),
)
default_hooks = _base_.method_hooks
