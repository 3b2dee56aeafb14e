"""Runs on seven written images, and their parts that the checks use."""

from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import LOOPS, MODELS

from datatrees import write_image, write_list, write_mask
from mmseg_u2pl.datasets import camvid, sampler, semi_dataset  # noqa: F401 (register)

LOAD = {"type": "LoadImageFromFile"}
ANNOTATE = {"type": "LoadAnnotations"}
PACK = {"type": "PackSegInputs"}
SIZE = (6, 8)


@MODELS.register_module()
class CountingModel(BaseModel):
    """Counts its training steps."""

    def __init__(self, num_classes):
        super().__init__()
        if num_classes is not None:
            self.num_classes = num_classes
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.steps = 0

    def forward(self, inputs, data_samples, mode):
        self.steps += 1
        return {"loss": self.weight * len(inputs)}


def write_data(root: Path) -> Path:
    """Seven images with masks: two labeled, three unlabeled, two for validation."""
    for name in "abcdefg":
        write_image(root / f"images/{name}.jpg", SIZE)
        set_mask(root, name, 10)
    for name, content in (("labeled", "ab"), ("unlabeled", "cde"), ("val", "fg")):
        write_list(root / f"{name}.txt", content)
    return root


def set_mask(root: Path, name: str, value: int) -> None:
    """Write a mask of one value."""
    write_mask(root / f"labels/{name}.png", value, SIZE)


def dataset(root, name, **changes):
    config = {
        "type": "CamVidDataset",
        "data_root": str(root),
        "ann_file": f"{name}.txt",
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": [LOAD, ANNOTATE, PACK],
        "serialize_data": False,  # serializing collects garbage, which is slow
    }
    return {**config, **changes}


def run_config(root, num_classes=11, loop="IterBasedTrainLoop", **changes):
    semi = {
        "type": "SemiDataset",
        "labeled": dataset(root, "labeled"),
        "unlabeled": dataset(
            root, "unlabeled", data_prefix={"img_path": "images"}, pipeline=[LOAD, PACK]
        ),
    }
    length = {"max_iters": 2} if loop == "IterBasedTrainLoop" else {"max_epochs": 1}
    config = {
        "default_scope": "mmseg",
        "work_dir": str(root / "work"),
        "experiment_name": root.name,
        "model": {"type": "CountingModel", "num_classes": num_classes},
        "train_dataloader": {
            "batch_size": 4,
            "num_workers": 0,
            "dataset": semi,
            "sampler": {"type": "DualStreamSampler", "infinite": loop == "IterBasedTrainLoop"},
        },
        "train_cfg": {"type": loop, "val_begin": 100, **length},
        "val_dataloader": {
            "batch_size": 1,
            "num_workers": 0,
            "dataset": dataset(root, "val"),
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        },
        "val_cfg": {"type": "ValLoop"},
        "val_evaluator": {"type": "IoUMetric"},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
        "custom_hooks": [{"type": "DataCheckHook"}],
        "log_level": "ERROR",
    }
    config = Config(config)
    config.merge_from_dict(changes)
    return config


def plain_config(root, **changes):
    """A run in which all images are labeled."""
    return run_config(
        root,
        **{
            "train_dataloader.dataset": {"_delete_": True, **dataset(root, "labeled")},
            "train_dataloader.sampler": {"_delete_": True, "type": "InfiniteSampler"},
            **changes,
        },
    )


def built(config):
    """The parts of a runner that the checks use; a real Runner takes a second to build."""
    init_default_scope("mmseg")
    loop = LOOPS.get(config.train_cfg.type)
    train, val = (
        Runner.build_dataloader(config[f"{kind}_dataloader"]) for kind in ("train", "val")
    )
    return SimpleNamespace(
        train_loop=loop.__new__(loop),
        val_loop=object(),
        train_dataloader=train,
        val_dataloader=val,
        model=MODELS.build(config.model),
    )
