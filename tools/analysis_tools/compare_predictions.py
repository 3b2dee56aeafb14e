"""Compare what models predict on the same test images, class by class and pixel by pixel.

Each folder is what `tools/test.py CONFIG CHECKPOINT --out FOLDER` wrote. IoUs of all of them are
printed as a markdown table; the picture shows the images in which the last gains most over the
first, and those in which it loses most.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
import torch
from matplotlib.figure import Figure
from mmcv.transforms import LoadAnnotations
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS, TRANSFORMS
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmseg_u2pl.utils.options import require_count
from mmseg_u2pl.visualization import paint_labels, plot_comparison
from mmseg_u2pl_tools.cli import add_config_arguments, load_config, require_key
from mmseg_u2pl_tools.errors import usage_errors
from mmseg_u2pl_tools.photos import open_upright

Mask = NDArray[np.integer]

PIXELS = {
    "right in both": (225, 225, 225),
    "gained": (40, 150, 70),
    "lost": (200, 40, 40),
    "wrong in both": (150, 150, 150),
    "not scored": (255, 255, 255),
}


class Scores(NamedTuple):
    """Scores of each folder.

    Attributes:
        iou: (folders, C), percent; NaN for a class that neither masks nor predictions have.
        right: (images, folders), share of the scored pixels of each image that are right.
    """

    iou: NDArray[np.floating]
    right: NDArray[np.floating]


class Scene(NamedTuple):
    """A test image, its mask and what each folder predicts."""

    path: str
    truth: Mask
    predictions: list[Mask]


class Scenes:
    """The test images of a data set, and the predictions in folders.

    Args:
        dataset: Whose masks are the ground truth.
        folders: With a PNG of label values for each image.

    Raises:
        ValueError: If two images have one name.
    """

    def __init__(self, dataset: BaseSegDataset, folders: Sequence[Path]) -> None:
        self.dataset = dataset
        self.folders = folders
        loaders = [s for s in dataset.pipeline.transforms if isinstance(s, LoadAnnotations)]
        self.load_mask = loaders[0] if loaders else TRANSFORMS.build(dict(type="LoadAnnotations"))
        names = Counter(
            Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))
        )
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(
                f"{len(twice)} names stand for several test images, the first is {twice[0]}, and "
                "tools/test.py --out keeps one prediction a name; compare the folders one at a time"
            )

    def __iter__(self) -> Iterator[Scene]:
        return map(self.__getitem__, range(len(self.dataset)))

    def __getitem__(self, index: int) -> Scene:
        info = self.dataset.get_data_info(index)
        truth = self.load_mask(info)["gt_seg_map"]
        path = info["img_path"]
        files = [folder / f"{Path(path).stem}.png" for folder in self.folders]
        return Scene(path, truth, [self._read(file, truth.shape) for file in files])

    def _read(self, file: Path, shape: tuple[int, ...]) -> Mask:
        """A prediction, in the classes of the data set.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If its size is not that of the mask, or it has labels that are not classes.
        """
        if not file.is_file():
            raise FileNotFoundError(
                f"there is no '{file}'; write it with tools/test.py CONFIG CHECKPOINT "
                f"--out {file.parent}"
            )
        label = np.asarray(Image.open(file)).astype(np.int64) - int(self.dataset.reduce_zero_label)
        if label.shape != shape:
            raise ValueError(
                f"'{file}' has {label.shape} pixels and the mask of its image {shape}; is it of "
                "another data set?"
            )
        num_classes = len(self.dataset.metainfo["classes"])
        if not 0 <= label.min() <= label.max() < num_classes:
            raise ValueError(
                f"'{file}' has labels from {label.min()} to {label.max()}, and the data set "
                f"{num_classes} classes; is it of another data set?"
            )
        return label


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add(
        "--predictions",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="two or more; the table names them as they are named",
    )
    add("--out", type=Path, metavar="FILE.png", help="picture to write (default: none)")
    add("--scenes", type=int, default=3, help="images with gains, and with losses (default: 3)")
    return parser


def score(scenes: Scenes, ignore_index: int) -> Scores:
    """Score every folder; each image is read once."""
    num_classes = len(scenes.dataset.metainfo["classes"])
    areas: list[list[Any]] = [[] for _ in scenes.folders]
    right = []
    for scene in scenes:
        truth = torch.from_numpy(scene.truth.astype(np.int64))
        for number, label in enumerate(scene.predictions):
            areas[number].append(
                IoUMetric.intersect_and_union(
                    torch.from_numpy(label), truth, num_classes, ignore_index
                )
            )
        hits, _, _, scored = zip(*(rows[-1] for rows in areas), strict=True)
        right.append([h.sum() / s.sum().clamp(min=1) for h, s in zip(hits, scored, strict=True)])
    totals = [[sum(area) for area in zip(*rows, strict=True)] for rows in areas]
    iou = [IoUMetric.total_area_to_metrics(*total)["IoU"] for total in totals]
    return Scores(100 * np.array(iou), np.array(right))


def make_table(scores: Scores, classes: Sequence[str], names: Sequence[str]) -> str:
    """Markdown table: IoU of each class and folder, and what the last one gains over the first."""
    rows = [["class", *names, "gain"], ["---"] + ["---:"] * (len(names) + 1)]
    means = np.nanmean(scores.iou, axis=1, keepdims=True)
    columns = np.concatenate([scores.iou, means], axis=1).T
    for name, values in zip([*classes, "mean"], columns, strict=True):
        cells = ["-" if np.isnan(value) else f"{value:.2f}" for value in values]
        gain = values[-1] - values[0]
        rows.append([name, *cells, "-" if np.isnan(gain) else f"{gain:+.2f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def judge(truth: Mask, before: Mask, after: Mask, ignore_index: int) -> Mask:
    """Index in PIXELS of each pixel."""
    was, is_now = before == truth, after == truth
    judged = np.select([was & is_now, is_now, was], [0, 1, 2], default=3)
    return np.where(truth == ignore_index, 4, judged)


def choose(right: NDArray[np.floating], num: int) -> tuple[list[int], list[int]]:
    """Indices of the images with the greatest gain, and of those with the greatest loss.

    An image is in one of the lists, so they are shorter than ``num`` if there are few images.
    """
    order = np.argsort(right[:, 0] - right[:, -1], kind="stable").tolist()
    return order[:num], order[num:][-num:]


def plot_scenes(scenes: Scenes, chosen: Sequence[int], ignore_index: int) -> Figure:
    """Images, and what the first and the last folder say of them."""
    palette = scenes.dataset.metainfo["palette"]
    judged_palette = list(PIXELS.values())
    titles = ["image", "ground truth", scenes.folders[0].name, scenes.folders[-1].name, "pixels"]
    columns: dict[str, list[Any]] = {title: [] for title in titles}
    shape = scenes[chosen[0]].truth.shape
    for scene in (scenes[index] for index in chosen):
        height, width = scene.truth.shape
        void = scene.truth == ignore_index
        before, after = scene.predictions[0], scene.predictions[-1]
        truth = paint_labels(np.where(void, 0, scene.truth), palette)
        judged = judge(scene.truth, before, after, ignore_index)
        pictures = [
            np.asarray(open_upright(Path(scene.path)).convert("RGB").resize((width, height))),
            np.where(void[..., None], np.uint8(255), truth),
            paint_labels(before, palette),
            paint_labels(after, palette),
            paint_labels(judged, judged_palette),
        ]
        for title, picture in zip(titles, pictures, strict=True):
            columns[title].append(_fit(picture, shape))
    legend = dict(zip(scenes.dataset.metainfo["classes"], palette, strict=True)) | PIXELS
    return plot_comparison({title: np.stack(rows) for title, rows in columns.items()}, legend)


def _fit(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture in this size, with a white margin if its shape is another."""
    height, width = shape
    nearest = Image.Resampling.NEAREST
    return np.asarray(
        ImageOps.pad(Image.fromarray(picture), (width, height), nearest, color="white")
    )


def compare(args: argparse.Namespace) -> None:
    """Score, print, plot.

    Raises:
        OSError: A file is missing or cannot be written.
        ValueError: There is nothing to compare, or predictions do not fit the masks.
    """
    require_count("--scenes", args.scenes)
    names = [folder.name for folder in args.predictions]
    if len(set(names)) < max(2, len(names)):
        raise ValueError(f"--predictions needs two or more folders of different names, got {names}")
    cfg = load_config(args)
    require_key(cfg, args.config, "test_dataloader")
    init_default_scope(cfg.get("default_scope", "mmseg"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    scenes = Scenes(dataset, args.predictions)
    scores = score(scenes, dataset.ignore_index)
    print(make_table(scores, dataset.metainfo["classes"], names))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        gains, losses = choose(scores.right, args.scenes)
        plot_scenes(scenes, [*gains, *losses], dataset.ignore_index).savefig(args.out)
        print(
            f"{args.out}: the {len(gains)} with the greatest gain, then the {len(losses)} with the "
            f"greatest loss, of {len(scores.right)} images"
        )


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    with usage_errors(parser):
        compare(args)


if __name__ == "__main__":
    main()
