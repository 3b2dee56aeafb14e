_base_ = "./cityscapes.py"
crop_size = (798, 798)
train_pipeline = [
    dict(step, crop_size=crop_size) if step["type"] == "RandomCrop" else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
