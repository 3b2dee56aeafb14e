auto_scale_lr = dict(base_batch_size=32, enable=False)
crop_size = (
    513,
    513,
)
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        "mmseg_u2pl",
    ],
)
data_preprocessor = dict(
    _scope_="mmseg",
    bgr_to_rgb=True,
    mean=[
        123.675,
        116.28,
        103.53,
    ],
    pad_val=0,
    seg_pad_val=255,
    std=[
        58.395,
        57.12,
        57.375,
    ],
    type="SegDataPreProcessor",
)
data_root = "data/VOCdevkit/VOC2012"
dataset_type = "PascalVOCDataset"
default_hooks = dict(
    checkpoint=dict(interval=10, max_keep_ckpts=1, type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    logger=dict(interval=50, type="LoggerHook"),
    loss_check=dict(type="LossCheckHook"),
    mean_teacher=dict(sup_only_epochs=1, type="MeanTeacherHook"),
    param_scheduler=dict(type="ParamSchedulerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    semi_statistics=dict(type="SemiStatisticsHook"),
    timer=dict(type="IterTimerHook"),
    visualization=dict(type="SegVisualizationHook"),
)
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend="nccl"),
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
)
img_ratios = [
    0.5,
    0.75,
    1.0,
    1.25,
    1.5,
    1.75,
]
labeled = dict(ann_file="ImageSets/u2pl/366/labeled.txt")
load_from = None
log_level = "INFO"
log_processor = dict(by_epoch=True)
method = dict(type="U2PL")
method_hooks = dict(
    checkpoint=dict(type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    loss_check=dict(type="LossCheckHook"),
    mean_teacher=dict(type="MeanTeacherHook"),
    semi_statistics=dict(type="SemiStatisticsHook"),
)
model = dict(
    segmentor=dict(
        _scope_="mmseg",
        auxiliary_head=None,
        backbone=dict(
            contract_dilation=True,
            depth=101,
            dilations=(
                1,
                1,
                2,
                4,
            ),
            multi_grid=(
                4,
                8,
                16,
            ),
            norm_cfg=dict(requires_grad=True, type="SyncBN"),
            norm_eval=False,
            num_stages=4,
            out_indices=(
                0,
                1,
                2,
                3,
            ),
            strides=(
                1,
                2,
                1,
                1,
            ),
            style="pytorch",
            type="ResNetV1c",
        ),
        data_preprocessor=dict(
            bgr_to_rgb=True,
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            pad_val=0,
            seg_pad_val=255,
            size=(
                513,
                513,
            ),
            std=[
                58.395,
                57.12,
                57.375,
            ],
            test_cfg=dict(
                size=(
                    513,
                    513,
                )
            ),
            type="SegDataPreProcessor",
        ),
        decode_head=dict(
            align_corners=True,
            c1_channels=256,
            c1_in_channels=256,
            channels=256,
            dilations=(
                1,
                12,
                24,
                36,
            ),
            dropout_ratio=0.1,
            in_channels=2048,
            in_index=3,
            loss_decode=dict(
                avg_non_ignore=True, loss_weight=1.0, type="CrossEntropyLoss", use_sigmoid=False
            ),
            norm_cfg=dict(requires_grad=True, type="SyncBN"),
            num_classes=21,
            type="DeepLabV3PlusHead",
        ),
        pretrained="open-mmlab://resnet101_v1c",
        test_cfg=dict(mode="whole"),
        train_cfg=dict(),
        type="EncoderDecoder",
    ),
    type="MeanTeacher",
)
norm_cfg = dict(_scope_="mmseg", requires_grad=True, type="SyncBN")
optim_wrapper = dict(
    optimizer=dict(lr=0.001, momentum=0.9, type="SGD", weight_decay=0.0001),
    paramwise_cfg=dict(
        custom_keys=dict(decode_head=dict(lr_mult=10.0), projector=dict(lr_mult=10.0))
    ),
    type="OptimWrapper",
)
param_scheduler = [
    dict(
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=80,
        eta_min=0.0,
        power=0.9,
        type="PolyLR",
    ),
]
randomness = dict(seed=0)
resume = False
test_cfg = dict(type="TestLoop")
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_="mmseg",
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        data_root="data/VOCdevkit/VOC2012",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs"),
        ],
        type="PascalVOCDataset",
    ),
    num_workers=4,
    persistent_workers=True,
    sampler=dict(_scope_="mmseg", shuffle=False, type="DefaultSampler"),
)
test_evaluator = dict(
    _scope_="mmseg",
    iou_metrics=[
        "mIoU",
    ],
    type="IoUMetric",
)
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_cfg = dict(max_epochs=80, type="EpochBasedTrainLoop", val_interval=10)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        labeled=dict(
            _scope_="mmseg",
            ann_file="ImageSets/u2pl/366/labeled.txt",
            data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
            data_root="data/VOCdevkit/VOC2012",
            pipeline=[
                dict(type="LoadImageFromFile"),
                dict(type="LoadAnnotations"),
                dict(
                    keep_ratio=True,
                    ratio_range=(
                        0.5,
                        2.0,
                    ),
                    scale=(
                        500,
                        500,
                    ),
                    type="RandomResize",
                ),
                dict(
                    crop_size=(
                        513,
                        513,
                    ),
                    type="RandomCrop",
                ),
                dict(prob=0.5, type="RandomFlip"),
                dict(type="PackSegInputs"),
            ],
            type="PascalVOCDataset",
        ),
        type="SemiDataset",
        unlabeled=dict(ann_file="ImageSets/u2pl/366/unlabeled.txt"),
    ),
    drop_last=True,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        infinite=False,
        ratio=(
            1,
            1,
        ),
        type="DualStreamSampler",
    ),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        keep_ratio=True,
        ratio_range=(
            0.5,
            2.0,
        ),
        scale=(
            500,
            500,
        ),
        type="RandomResize",
    ),
    dict(
        crop_size=(
            513,
            513,
        ),
        type="RandomCrop",
    ),
    dict(prob=0.5, type="RandomFlip"),
    dict(type="PackSegInputs"),
]
tta_model = dict(_scope_="mmseg", type="SegTTAModel")
tta_pipeline = [
    dict(_scope_="mmseg", backend_args=None, type="LoadImageFromFile"),
    dict(
        _scope_="mmseg",
        transforms=[
            [
                dict(keep_ratio=True, scale_factor=0.5, type="Resize"),
                dict(keep_ratio=True, scale_factor=0.75, type="Resize"),
                dict(keep_ratio=True, scale_factor=1.0, type="Resize"),
                dict(keep_ratio=True, scale_factor=1.25, type="Resize"),
                dict(keep_ratio=True, scale_factor=1.5, type="Resize"),
                dict(keep_ratio=True, scale_factor=1.75, type="Resize"),
            ],
            [
                dict(direction="horizontal", prob=0.0, type="RandomFlip"),
                dict(direction="horizontal", prob=1.0, type="RandomFlip"),
            ],
            [
                dict(type="LoadAnnotations"),
            ],
            [
                dict(type="PackSegInputs"),
            ],
        ],
        type="TestTimeAug",
    ),
]
unlabeled = dict(ann_file="ImageSets/u2pl/366/unlabeled.txt")
val_cfg = dict(type="SemiValLoop")
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_="mmseg",
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        data_root="data/VOCdevkit/VOC2012",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs"),
        ],
        type="PascalVOCDataset",
    ),
    num_workers=4,
    persistent_workers=True,
    sampler=dict(_scope_="mmseg", shuffle=False, type="DefaultSampler"),
)
val_evaluator = dict(
    _scope_="mmseg",
    iou_metrics=[
        "mIoU",
    ],
    type="IoUMetric",
)
vis_backends = [
    dict(_scope_="mmseg", type="LocalVisBackend"),
]
visualizer = dict(
    _scope_="mmseg",
    name="visualizer",
    type="SegLocalVisualizer",
    vis_backends=[
        dict(type="LocalVisBackend"),
    ],
)
