"""The shipped configs: their names and contents."""

import os
import re
from copy import deepcopy
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_u2pl  # noqa: F401

CONFIGS = Path(__file__).parents[2] / "configs"


def twin(semi):
    """The supervised-only config of one in PAIRED, with the labeled half of the batch."""
    path = semi.replace("u2pl", "suponly")
    return re.sub(r"xb(\d+)-", lambda match: f"xb{int(match[1]) // 2}-", path)


def shipped(*folders):
    files = (path for folder in folders for path in (CONFIGS / folder).glob("*.py"))
    return sorted(str(path.relative_to(CONFIGS)) for path in files)


EVERY = shipped("u2pl", "suponly", "unimatch", "unimatch_v2", "fixmatch", "my_dataset")
SEMI = [path for path in EVERY if "suponly" not in path]
# Rows of UniMatch's tables; their labeled-only rows differ from them in more than the method.
UNIMATCH = [path for path in EVERY if re.search("-d16_4xb4-|dinov2.*(518x518|798x798)", path)]
PAIRED = [path for path in SEMI if path not in UNIMATCH]


parse = cache(Config._file2dict)


def parse_once(filename, *args, **kwargs):
    """MMEngine parses a base again for every config that inherits it, with a temporary folder."""
    return deepcopy(parse(os.path.abspath(filename), *args, **kwargs))


@cache
def load(path):
    """A shipped config; not to be changed."""
    init_default_scope("mmseg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "_file2dict", parse_once)
        # Replace mmseg::... bases by their paths, because MMEngine reads a hundred files for each.
        patch.setattr(
            "mmengine.config.config._get_external_cfg_path",
            lambda package, name: str(Path(package) / ".mim/configs" / name),
        )
        return Config.fromfile(CONFIGS / path, import_custom_modules=False)


def plain_model(cfg):
    return cfg.model.get("segmentor", cfg.model)


def labeled_dataset(cfg):
    """The data set of the labeled images, without wrappers."""
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get("labeled", dataset)
    return dataset.dataset if dataset.type == "RepeatDataset" else dataset


def without_weights(config):
    """A model config that loads no pretrained weights."""
    if isinstance(config, dict):
        if config.get("type") == "Pretrained":
            return None
        return {k: without_weights(v) for k, v in config.items() if k != "pretrained"}
    return [without_weights(part) for part in config] if isinstance(config, list) else config


def require_packages(path):
    if re.search("convnext|dinov2", path):
        try:
            import mmpretrain.models  # noqa: F401
        except Exception as error:  # with another build of torch, it is not an ImportError
            pytest.skip(f"mmpretrain cannot be imported: {error}")


BUILT = {}


def build_without_memory(config):
    """A model whose parameters have shapes but no values; the same object for the same config."""
    config = without_weights(config.to_dict())
    if repr(config) not in BUILT:
        with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
            # Backbones read the rates of stochastic depth from such a tensor.
            patch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
            BUILT[repr(config)] = MODELS.build(config)
    return BUILT[repr(config)]
