"""A plain MMSegmentation config that trains on a few small images, and its files."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

CLASSES = ("ground", "box", "ball", "sky", "tree")
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
TEST_PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
TTA_PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale_factor=r, keep_ratio=True) for r in (0.5, 1.0)],
            [dict(type="RandomFlip", prob=p, direction="horizontal") for p in (0.0, 1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]


def write_images(root: Path, names: str | list[str], **changes: str) -> None:
    """Write random images and masks; `changes` are directories and suffixes, as the keys below."""
    kinds = dict(images="images", masks="masks", img_suffix=".jpg", seg_map_suffix=".png") | changes
    rng = np.random.default_rng(0)
    for name in names:
        image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        mask = rng.integers(0, len(CLASSES), (40, 48), dtype=np.uint8)
        for directory, suffix, array in (
            (kinds["images"], kinds["img_suffix"], image),
            (kinds["masks"], kinds["seg_map_suffix"], mask),
        ):
            path = root / directory / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


def write_list(path: Path | str, names: str | list[str]) -> str:
    Path(path).write_text("".join(f"{name}\n" for name in names))
    return str(path)


def dataset(root: Path, **changes) -> dict:
    config = dict(
        type="BaseSegDataset",
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="masks"),
        metainfo=dict(classes=CLASSES, palette=[[i, i, i] for i in range(len(CLASSES))]),
        pipeline=PIPELINE,
        serialize_data=False,  # serializing collects garbage, which is slow
    )
    return config | changes


def plain_config(root: Path, **changes) -> Config:
    """A tiny U-Net on the images in `root`; training needs no list, as with ADE20K."""
    norm_cfg = dict(type="SyncBN", requires_grad=True)
    head = dict(
        type="FCNHead",
        in_channels=4,
        channels=4,
        num_convs=1,
        num_classes=len(CLASSES),
        concat_input=False,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    )
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dataset(root, pipeline=TEST_PIPELINE, ann_file="val.txt"),
    )
    config = dict(
        default_scope="mmseg",
        model=dict(
            type="EncoderDecoder",
            data_preprocessor=dict(
                type="SegDataPreProcessor",
                mean=[127.5] * 3,
                std=[127.5] * 3,
                size=(32, 32),
                seg_pad_val=255,
            ),
            backbone=dict(
                type="UNet",
                base_channels=4,
                num_stages=2,
                strides=(1, 1),
                enc_num_convs=(1, 1),
                dec_num_convs=(1,),
                downsamples=(True,),
                enc_dilations=(1, 1),
                dec_dilations=(1,),
                norm_cfg=norm_cfg,
            ),
            decode_head=head | dict(in_index=1),
            train_cfg=dict(),
            test_cfg=dict(mode="whole"),
        ),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="InfiniteSampler", shuffle=True),
            dataset=dataset(root),
        ),
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        test_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9)),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=3, val_interval=3),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        test_pipeline=TEST_PIPELINE,
        tta_model=dict(type="SegTTAModel"),
        tta_pipeline=TTA_PIPELINE,
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=3),
            visualization=dict(type="SegVisualizationHook"),
        ),
        visualizer=dict(type="SegLocalVisualizer", vis_backends=[]),
        log_level="WARNING",
    )
    return Config(config | changes)


def write_config(path: Path | str, config: Config) -> str:
    """Like `Config.dump`, which spends a second on formatting."""
    lines = (f"{key} = {value!r}\n" for key, value in config.to_dict().items())
    Path(path).write_text("".join(lines))
    return str(path)


def write_plain(path: Path | str, root: Path, **changes) -> str:
    return write_config(path, plain_config(root, **changes))
