# Two classes: how the method does when probability ranks hardly tell classes apart.
_base_ = "./u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb16-demo_builtin-1of16-128x128.py"
dataset_type = "BuiltinForegroundDataset"
model = dict(segmentor=dict(decode_head=dict(num_classes=2)))
train_dataloader = dict(dataset=dict(labeled=dict(type=dataset_type)))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
