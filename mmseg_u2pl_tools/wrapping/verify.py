"""Builds a written config and loads its first images, without training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_u2pl.checks import check_run
from mmseg_u2pl.datasets import DataError
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl_tools.wrapping.plain_config import ConfigError


def build_model(cfg: Config) -> SemiSegmentor:
    """Build the model of a written config, without weights.

    Raises:
        ConfigError: It cannot be built; the message contains the model's.
    """
    with _explained(f"cannot build {cfg.model.type} around this model"):
        return MODELS.build(cfg.model)


def try_data(cfg: Config) -> None:
    """Check the training data like :class:`DataCheckHook`, and load one image of each stream.

    Masks and validation data are not read.

    Args:
        cfg: The written config, semi-supervised or supervised-only.

    Raises:
        DataError: The hook would raise the same error.
        ConfigError: A data set cannot be built or its pipeline fails.
    """
    training = Config({**cfg, "val_dataloader": None})
    with _explained("cannot build the training data"):
        report = check_run(training, read_files=False)
    report.raise_problems()
    for name, stream in report.streams.items():
        first = stream.datasets[0]
        image = first.get_data_info(0)["img_path"]
        with _explained(f"the pipeline of the {name} images fails on '{image}'"):
            first[0]


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Turn any exception of the user's config into an error that says where it occurred."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise ConfigError(f"{problem}: {type(error).__name__}: {error}") from error
