"""Write pseudo-labels for the unlabeled images, and rank the images to label next.

OUT gets SegmentationClass/NAME.png, masks in the classes of the data set, with 255 where the
teacher is unreliable. They can serve as ground truth for self-training; a zip file of them with
labelmap.txt and ImageSets can be imported into CVAT as "Segmentation mask 1.1". ranking.csv ranks
all images by their share of unreliable pixels, the most informative ones first. contact_sheet.png
shows the top and the bottom of the ranking. Unreliable pixels are those with the highest entropy
over all images. During the run, OUT takes two extra bytes per pixel.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.apis import init_model
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset

from mmseg_u2pl.checks.images import check_images, read_images
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.unlabeled import strip_ground_truth
from mmseg_u2pl.engine.resume.checkpoint_files import require_checkpoint
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.models.decode_heads import logits_of_prediction
from mmseg_u2pl.ops import predict_pixels
from mmseg_u2pl.utils.progress import track
from mmseg_u2pl_tools.atomic_folder import require_free
from mmseg_u2pl_tools.class_masks import UNRELIABLE, ClassMeta, read_mask, write_cvat_lists
from mmseg_u2pl_tools.cli import (
    add_config_arguments,
    load_config,
    require_key,
    require_unlabeled_images,
)
from mmseg_u2pl_tools.errors import UsageError, config_errors, run_tool
from mmseg_u2pl_tools.image_folder import image_names
from mmseg_u2pl_tools.ranking import Ranked, plot_contact_sheet, write_ranking
from mmseg_u2pl_tools.wrapping import choose_role

LEVELS = 2**16
"""Number of levels of entropy, from 0 to its maximum log C, kept until the threshold is known."""

Prediction = tuple[NDArray[np.uint8], NDArray[np.uint16]]
"""Label and entropy level of each pixel, (H, W) each, at the size of the image file."""


class Unlabeled(NamedTuple):
    """An image to predict."""

    name: str
    path: str


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add("checkpoint", help="checkpoint of a semi-supervised training")
    add("--out", type=Path, required=True, metavar="OUT", help="folder to write, absent or empty")
    add(
        "--unreliable-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of all pixels, in [0, 1) (default: %(default)s, the paper's alpha_0)",
    )
    add(
        "--from",
        dest="role",
        metavar="NETWORK",
        help="network that predicts, such as student (default: the one that validation scores)",
    )
    add("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    return parser


def open_unlabeled(cfg: Config) -> tuple[list[BaseSegDataset], ClassMeta]:
    """The unlabeled data sets of a config, with the transforms of its test pipeline.

    The classes are those of the labeled data set; the metainfo of the unlabeled ones is not used.
    """
    pipeline = strip_ground_truth(cfg.test_dataloader.dataset.pipeline)
    streams = DATASETS.build(cfg.train_dataloader.dataset)
    leaves = streams.unlabeled_datasets
    for leaf in leaves:
        leaf.pipeline = Compose(pipeline)
        leaf.test_mode = True  # an unreadable image raises an error instead of being replaced
    return leaves, ClassMeta.of(streams.labeled_datasets[0])


def list_images(leaves: Sequence[BaseSegDataset]) -> list[Unlabeled]:
    """Names and files of all images, in the order of the data sets.

    Raises:
        DataError: Two images have the same name.
    """
    images = [
        Unlabeled(name, leaf.get_data_info(index)["img_path"])
        for leaf in leaves
        for index, name in enumerate(image_names(leaf))
    ]
    counts = Counter(image.name for image in images)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"{len(twice)} names belong to two images, such as {twice[0]}, whose masks would be "
            "the same file. Predict one folder at a time."
        )
    return images


def predict(
    model: SemiSegmentor, leaves: Sequence[BaseSegDataset], cfg: Config
) -> Iterator[Prediction]:
    """Predict the images one at a time, in the order of the data sets."""
    loading = {
        key: value
        for key, value in cfg.test_dataloader.items()
        if key in ("num_workers", "persistent_workers")
    }
    loader = Runner.build_dataloader(
        dict(
            loading,
            dataset=ConcatDataset(leaves),
            batch_size=1,
            sampler=dict(type="DefaultSampler", shuffle=False),
        )
    )
    network, *_ = model.trained_networks.values()
    last_head = network.decode_heads[-1]
    for batch in loader:
        with torch.no_grad():
            (sample,) = model.test_step(batch)
        logits = logits_of_prediction(last_head, sample.seg_logits.data)
        label, entropy = (values[0].cpu().numpy() for values in predict_pixels(logits[None]))
        level = entropy / max_entropy(model) * (LEVELS - 1)
        yield label.astype(np.uint8), level.round().astype(np.uint16)


def max_entropy(model: SemiSegmentor) -> float:
    return math.log(model.num_classes)


def write_masks(
    predicted: Iterable[Prediction], paths: Sequence[Path], meta: ClassMeta, scratch: Path
) -> NDArray[np.int64]:
    """Write the masks without a threshold, and the entropies to a folder.

    Args:
        predicted: Results of :func:`predict`.
        paths: The masks to write.
        meta: Their classes.
        scratch: Folder for the entropies: 0.npy, 1.npy and so on.

    Returns:
        (LEVELS,), number of pixels of all images at each level.
    """
    counts = np.zeros(LEVELS, np.int64)
    predicted = track(predicted, "Predicting", total=len(paths))
    for number, (path, (label, level)) in enumerate(zip(paths, predicted, strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        meta.write_mask(path, meta.values[label])
        np.save(scratch / f"{number}.npy", level)
        counts += np.bincount(level.ravel(), minlength=LEVELS)
    return counts


def drop_unreliable(
    masks: Mapping[str, Path], threshold: int, max_entropy: float, meta: ClassMeta, scratch: Path
) -> list[Ranked]:
    """Set the pixels above a threshold to UNRELIABLE in the masks of :func:`write_masks`.

    Returns:
        The images, the least reliable first.
    """
    ranking = []
    for number, (name, path) in enumerate(track(masks.items(), "Removing unreliable pixels")):
        level = np.load(scratch / f"{number}.npy")
        mask = read_mask(path)
        mask[level > threshold] = UNRELIABLE
        meta.write_mask(path, mask)
        mean = max_entropy * level.mean() / (LEVELS - 1)
        ranking.append(Ranked(name, round((level > threshold).mean(), 4), round(mean, 4)))
    return sorted(ranking, key=lambda row: (-row.unreliable_share, -row.mean_entropy, row.image))


def run(args: argparse.Namespace) -> None:
    """Predict, rank, plot, and say what was written.

    Raises:
        DataError: The images cannot be used.
        OSError: A file is missing or cannot be written.
        ValueError: Config, checkpoint or OUT are unsuitable.
    """
    if not 0 <= args.unreliable_share < 1:
        raise UsageError(f"--unreliable-share must be in [0, 1), got {args.unreliable_share}")
    require_free(args.out)
    cfg = load_config(args)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    require_unlabeled_images(cfg, args.config)
    require_key(cfg, args.config, "test_dataloader")
    leaves, meta = open_unlabeled(cfg)
    check_images(read_images(leaves, "unlabeled"), "unlabeled")
    images = dict(list_images(leaves))
    role = choose_role(cfg, args.role)
    require_checkpoint(args.checkpoint)
    with config_errors(args.config):
        model = init_model(cfg, args.checkpoint, device=args.device)
    model.predict_with = role
    folder = args.out / "SegmentationClass"
    masks = {name: folder / f"{name}.png" for name in images}
    write_cvat_lists(args.out, masks, meta)
    with TemporaryDirectory(prefix=".entropy-", dir=args.out) as temporary:
        scratch = Path(temporary)
        counts = write_masks(predict(model, leaves, cfg), list(masks.values()), meta, scratch)
        # The last reliable level is the lowest up to which there are enough pixels.
        reliable = (1 - args.unreliable_share) * counts.sum()
        threshold = np.searchsorted(counts.cumsum(), reliable)
        ranking = drop_unreliable(masks, threshold, max_entropy(model), meta, scratch)
    write_ranking(args.out / "ranking.csv", ranking)
    sheet = plot_contact_sheet(ranking, images, folder, meta)
    sheet.savefig(args.out / "contact_sheet.png")
    print(f"{len(ranking)} masks of the {model.predict_with} are in {folder}")
    print("Images to label next, with their share of unreliable pixels:")
    for row in ranking[:5]:
        print(f"  {row.image}: {100 * row.unreliable_share:.1f} %")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
