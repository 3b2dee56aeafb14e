# UniMatch on VOC's blender lists, with crops of 513 x 513.
_base_ = "./unimatch_deeplabv3plus_r101-d16_voc2012.py"
crop_size = (513, 513)
train_pipeline = [
    dict(step, crop_size=crop_size) if step["type"] == "RandomCrop" else step
    for step in _base_.train_pipeline
]
model = dict(segmentor=dict(data_preprocessor=dict(size=crop_size)))
train_dataloader = dict(dataset=dict(labeled=dict(pipeline=train_pipeline)))
