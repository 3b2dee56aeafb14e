"""Builds a written config and reads its first images, without a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS

from mmseg_u2pl.datasets import SemiDataset, checks
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl_tools.wrapping.plain_config import ConfigError


def build_model(cfg: Config) -> SemiSegmentor:
    """Build the model of a written config, without weights and with the smallest queues.

    Raises:
        ConfigError: It does not build: the message is that of the model.
    """
    # Full queues can take gigabytes, 2.3 for the 150 classes of ADE20K.
    queues = dict(queue_size=1, queue_budget=None)
    small = dict(contrastive_head=dict(cfg.model.get("contrastive_head", {}), **queues))
    with _explained("U2PL around this model does not build"):
        return MODELS.build({**cfg.model, **small})


def try_data(cfg: Config, num_classes: int | None) -> None:
    """Look for all listed files and read one image of each stream.

    Args:
        cfg: The written config, with U2PL or its supervised-only twin.
        num_classes: Of the model, None if it is not known.

    Raises:
        DataError: What :class:`DataCheckHook` would find too; masks are not read.
        ConfigError: A data set does not build or its pipeline fails.
    """
    with _explained("the training data do not build"):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if isinstance(dataset, SemiDataset):
        streams = {"labeled": dataset.labeled_datasets, "unlabeled": dataset.unlabeled_datasets}
    else:  # RepeatDataset has the data set in `dataset`
        streams = {"labeled": checks.leaf_datasets(getattr(dataset, "dataset", dataset))}
    checks.check_num_classes(dataset.metainfo, num_classes)
    for name, datasets in streams.items():
        checks.check_files(datasets, name, masks=name == "labeled")
    checks.check_overlap(streams)
    for name, datasets in streams.items():
        image = datasets[0].get_data_info(0)["img_path"]
        with _explained(f"the pipeline of the {name} images fails on '{image}'"):
            datasets[0][0]


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Turn whatever parts of the user's config raise into an error that says where it arose."""
    try:
        yield
    except checks.DataError:
        raise
    except Exception as error:
        raise ConfigError(f"{problem}: {type(error).__name__}: {error}") from error
