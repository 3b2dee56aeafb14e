"""Write the teacher's masks for the unlabeled images, and which of them to label next.

OUT gets SegmentationClass/NAME.png, masks in the classes of the data set, with 255 where the
teacher is unreliable: ground truth of a self-training, or with labelmap.txt and ImageSets, packed
as a zip file, what CVAT imports as "Segmentation mask 1.1"; ranking.csv, all images by their share
of unreliable pixels, those that teach most if labeled first; contact_sheet.png, the top and the
bottom of that ranking. Unreliable are the pixels of highest entropy over all images. While it runs,
OUT holds two more bytes a pixel.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.apis import init_model
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.progress import track
from torch.utils.data import ConcatDataset

from mmseg_u2pl.checks.images import check_images, read_images
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.unlabeled import strip_ground_truth
from mmseg_u2pl.engine.resume.checkpoint_files import require_checkpoint
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.models.decode_heads import logits_of_prediction
from mmseg_u2pl.ops import predict_pixels
from mmseg_u2pl.visualization import paint_pseudo_labels, plot_comparison
from mmseg_u2pl_tools.annotations import BACKGROUND, open_upright
from mmseg_u2pl_tools.cli import (
    add_config_arguments,
    load_config,
    require_key,
    require_unlabeled_images,
)
from mmseg_u2pl_tools.image_folder import image_names

UNRELIABLE = 255
BLACK = (0, 0, 0)
MASKS = "SegmentationClass"
THUMBNAIL_WIDTH = 260
SHEET_ROWS = 6
LEVELS = 2**16
"""Of entropy, from 0 to its maximum log C: what is kept of it until the threshold is known."""


class Unlabeled(NamedTuple):
    """An image that is to be predicted."""

    name: str
    path: str


def distinct_colours(
    classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """A palette in which the background is black, nothing else is, and no two classes are alike.

    To CVAT black is the background, whatever a config or MMSegmentation paints it, and a colour is
    a class. Other colours stay as they are.
    """
    random = np.random.default_rng(0)
    colours: list[tuple[int, ...]] = []
    for name, given in zip(classes, palette, strict=True):
        colour = BLACK if name == BACKGROUND else tuple(given)
        while name != BACKGROUND and colour in (BLACK, *colours):
            colour = tuple(random.integers(256, size=3).tolist())
        colours.append(colour)
    return colours


class ClassMeta(NamedTuple):
    """Classes of a data set, and how its masks have them.

    Attributes:
        classes: (C,), names.
        palette: (C, 3), RGB.
        values: (C,), uint8, what stands for each class in a file: one more where 0 is "no class"
            (reduce_zero_label), and what label_map turns into it where the classes are a subset.
    """

    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    values: NDArray[np.uint8]

    @classmethod
    def of(cls, dataset: BaseSegDataset) -> ClassMeta:
        """Those of a data set, in colours that CVAT tells apart."""
        classes = dataset.metainfo["classes"]
        palette = distinct_colours(classes, dataset.metainfo["palette"])
        originals = {new: old for old, new in (dataset.label_map or {}).items()}
        values = [originals.get(label, label) for label in range(len(classes))]
        return cls(
            classes, palette, np.array(values, np.uint8) + np.uint8(dataset.reduce_zero_label)
        )

    def classes_of(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Classes of what :meth:`write_mask` has written."""
        table = np.zeros(256, np.uint8)
        table[self.values] = np.arange(len(self.values))
        return table[mask]

    def write_mask(self, path: Path, mask: NDArray[np.uint8]) -> None:
        """Write a PNG whose values are the classes and which viewers show in their colours."""
        image = Image.fromarray(mask)
        # All other values are black, CVAT's colour of what nobody has drawn.
        colours = np.zeros((256, 3), np.uint8)
        colours[self.values] = self.palette
        image.putpalette(colours.ravel().tolist())
        image.save(path)


class Ranked(NamedTuple):
    """A line of the ranking."""

    image: str
    unreliable_share: float
    mean_entropy: float


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add("checkpoint", help="of a training with U2PL")
    add("--out", type=Path, required=True, metavar="OUT", help="folder to write, absent or empty")
    add(
        "--unreliable-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the pixels of all images, in [0, 1) (default: %(default)s, the paper's alpha_0)",
    )
    add("--from", dest="role", metavar="NETWORK", help="network that predicts (default: teacher)")
    add("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    return parser


def open_unlabeled(cfg: Config) -> tuple[list[BaseSegDataset], ClassMeta]:
    """The unlabeled data sets of a config, with the transforms of its test pipeline.

    The classes are those of the labeled data set: the metainfo of the unlabeled ones has no use.
    """
    pipeline = strip_ground_truth(cfg.test_dataloader.dataset.pipeline)
    streams = DATASETS.build(cfg.train_dataloader.dataset)
    leaves = streams.unlabeled_datasets
    for leaf in leaves:
        leaf.pipeline = Compose(pipeline)
        leaf.test_mode = True  # an image that cannot be read is an error, and not replaced
    return leaves, ClassMeta.of(streams.labeled_datasets[0])


def list_images(leaves: Sequence[BaseSegDataset]) -> list[Unlabeled]:
    """Names and files of all images, in the order of the data sets.

    Raises:
        DataError: Two have one name.
    """
    images = [
        Unlabeled(name, leaf.get_data_info(index)["img_path"])
        for leaf in leaves
        for index, name in enumerate(image_names(leaf))
    ]
    counts = Counter(image.name for image in images)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"{len(twice)} names stand for two images, the first is {twice[0]}: their masks would "
            "be one file. Predict the folders one at a time."
        )
    return images


def predict(
    model: SemiSegmentor, leaves: Sequence[BaseSegDataset], cfg: Config
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    """Label, and entropy as one of LEVELS, of each image, (H, W) each, in the size of its file."""
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
    last_head = model.student.decode_heads[-1]
    for batch in loader:
        with torch.no_grad():
            (sample,) = model.test_step(batch)
        logits = logits_of_prediction(last_head, sample.seg_logits.data)
        label, entropy = (values[0].cpu().numpy() for values in predict_pixels(logits[None]))
        level = entropy / max_entropy(model) * (LEVELS - 1)
        yield label.astype(np.uint8), level.round().astype(np.uint16)


def max_entropy(model: SemiSegmentor) -> float:
    return math.log(model.num_classes)


def write_masks(args: argparse.Namespace, cfg: Config, scratch: Path) -> list[Ranked]:
    """Write all masks, and rank the images, the least reliable first."""
    leaves, meta = open_unlabeled(cfg)
    check_images(read_images(leaves, "unlabeled"), "unlabeled")
    require_checkpoint(args.checkpoint)
    model = init_model(cfg, args.checkpoint, device=args.device)
    model.predict_with = args.role
    masks = {image.name: args.out / MASKS / f"{image.name}.png" for image in list_images(leaves)}
    write_lists(args.out, masks, meta)
    counts = np.zeros(LEVELS, np.int64)
    predicted = track(predict(model, leaves, cfg), "Predicting", total=len(masks))
    for number, (path, (label, level)) in enumerate(zip(masks.values(), predicted, strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        meta.write_mask(path, meta.values[label])
        np.save(scratch / f"{number}.npy", level)
        counts += np.bincount(level.ravel(), minlength=LEVELS)
    # The lowest level up to which there are enough pixels is the last that is reliable.
    threshold = np.searchsorted(counts.cumsum(), (1 - args.unreliable_share) * counts.sum())
    ranking = []
    for number, (name, path) in enumerate(track(masks.items(), "Leaving out unreliable pixels")):
        level = np.load(scratch / f"{number}.npy")
        mask = read_mask(path)
        mask[level > threshold] = UNRELIABLE
        meta.write_mask(path, mask)
        mean = max_entropy(model) * level.mean() / (LEVELS - 1)
        ranking.append(Ranked(name, round((level > threshold).mean(), 4), round(mean, 4)))
    return sorted(ranking, key=lambda row: (-row.unreliable_share, -row.mean_entropy, row.image))


def read_mask(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.array(opened)


def write_lists(out: Path, names: Iterable[str], meta: ClassMeta) -> None:
    """Write what CVAT wants besides the masks: the classes' colours, and the names."""
    colours = {BACKGROUND: BLACK} | dict(zip(meta.classes, meta.palette, strict=True))
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in colours.items()]
    (out / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")
    listed = out / "ImageSets/Segmentation/default.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{name}\n" for name in names))


def write_ranking(path: Path, ranking: Sequence[Ranked]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", *Ranked._fields])
        writer.writerows([rank, *row] for rank, row in enumerate(ranking, 1))


def draw_contact_sheet(ranking: Sequence[Ranked], cfg: Config, masks: Path) -> Figure:
    """The top and the bottom of the ranking side by side, with pseudo-labels."""
    leaves, meta = open_unlabeled(cfg)
    paths = dict(list_images(leaves))
    num_rows = min(SHEET_ROWS, -(-len(ranking) // 2))
    first = open_upright(Path(paths[ranking[0].image]))
    size = THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH * first.height / first.width)
    columns: dict[str, Any] = {}
    ends = {"least reliable": ranking[:num_rows], "most reliable": ranking[-num_rows:][::-1]}
    for end, rows in ends.items():
        images = np.stack([small_image(paths[row.image], size) for row in rows])
        label = np.stack([small_mask(masks / f"{row.image}.png", size) for row in rows])
        unreliable = label == UNRELIABLE
        label = np.where(unreliable, 0, meta.classes_of(label))
        columns[end] = images
        columns[f"pseudo-labels,\n{end}"] = paint_pseudo_labels(
            images, label, unreliable, meta.palette
        )
    return plot_comparison(columns, dict(zip(meta.classes, meta.palette, strict=True)))


def small_image(path: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image in this size, with a white margin if its shape is another."""
    image = open_upright(Path(path)).convert("RGB")
    return np.asarray(ImageOps.pad(image, size, Image.Resampling.BILINEAR, color="white"))


def small_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask in this size, with an unreliable margin if its shape is another."""
    mask = Image.fromarray(read_mask(path))
    return np.asarray(ImageOps.pad(mask, size, Image.Resampling.NEAREST, color=UNRELIABLE))


def run(args: argparse.Namespace) -> None:
    """Predict, rank, draw, and say what was written.

    Raises:
        DataError: The images cannot be used.
        OSError: A file is missing or cannot be written.
        ValueError: Config, checkpoint or OUT are of another kind.
    """
    if args.out.is_dir() and any(args.out.iterdir()):
        raise ValueError(f"'{args.out}' is not empty; give another folder")
    cfg = load_config(args)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    require_unlabeled_images(cfg, args.config)
    require_key(cfg, args.config, "test_dataloader")
    args.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".entropy-", dir=args.out) as scratch:
        ranking = write_masks(args, cfg, Path(scratch))
    write_ranking(args.out / "ranking.csv", ranking)
    masks = args.out / MASKS
    draw_contact_sheet(ranking, cfg, masks).savefig(args.out / "contact_sheet.png")
    print(f"{len(ranking)} masks of the {args.role} are in {masks}")
    print("Label next, as they have most unreliable pixels:")
    for row in ranking[:5]:
        print(f"  {row.image}: {100 * row.unreliable_share:.1f} %")


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if not 0 <= args.unreliable_share < 1:
        parser.error(f"--unreliable-share must be in [0, 1), got {args.unreliable_share}")
    try:
        run(args)
    except (DataError, OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
