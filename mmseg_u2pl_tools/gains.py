"""Pixels and images that a model predicts better or worse than another on the same data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmcv.transforms import LoadAnnotations
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from mmseg.registry import TRANSFORMS
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmseg_u2pl.utils.progress import track
from mmseg_u2pl.visualization import paint_labels, plot_comparison
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
        iou: (folders, C), percent; NaN for a class in neither masks nor predictions.
        right: (images, folders), share of correct pixels among the scored ones of each image.
    """

    iou: NDArray[np.floating]
    right: NDArray[np.floating]


class Scene(NamedTuple):
    """A test image, its mask and the prediction of each folder."""

    path: str
    truth: Mask
    predictions: list[Mask]


class Scenes:
    """The test images of a data set, and the predictions in folders.

    Args:
        dataset: Data set whose masks are the ground truth.
        folders: Folders with a PNG of label values for each image.

    Raises:
        ValueError: If two images have the same name.
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
                f"{len(twice)} names belong to several test images, such as {twice[0]}, but "
                "tools/test.py --out keeps one prediction per name; compare one folder at a time"
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
            ValueError: If its size differs from the mask's, or it has labels that are not classes.
        """
        if not file.is_file():
            raise FileNotFoundError(
                f"there is no '{file}'; write it with tools/test.py CONFIG CHECKPOINT "
                f"--out {file.parent}"
            )
        label = np.asarray(Image.open(file)).astype(np.int64) - int(self.dataset.reduce_zero_label)
        if label.shape != shape:
            raise ValueError(
                f"'{file}' has {label.shape} pixels, but the mask of its image has {shape}; does "
                "it belong to another data set?"
            )
        num_classes = len(self.dataset.metainfo["classes"])
        if not 0 <= label.min() <= label.max() < num_classes:
            raise ValueError(
                f"'{file}' has labels from {label.min()} to {label.max()}, but the data set has "
                f"{num_classes} classes; does it belong to another data set?"
            )
        return label


def score(scenes: Scenes, ignore_index: int) -> Scores:
    """Score every folder, reading each image once."""
    num_classes = len(scenes.dataset.metainfo["classes"])
    areas: list[list[Any]] = [[] for _ in scenes.folders]
    right = []
    for scene in track(scenes, "Scoring", len(scenes.dataset)):
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


def judge(truth: Mask, before: Mask, after: Mask, ignore_index: int) -> Mask:
    """Index of each pixel in PIXELS."""
    was, is_now = before == truth, after == truth
    judged = np.select([was & is_now, is_now, was], [0, 1, 2], default=3)
    return np.where(truth == ignore_index, 4, judged)


def choose(right: NDArray[np.floating], num: int) -> tuple[list[int], list[int]]:
    """Indices of the images with the greatest gain, and of those with the greatest loss.

    An image is in one of the lists, so they are shorter than ``num`` if there are few images.
    """
    order = np.argsort(right[:, 0] - right[:, -1], kind="stable").tolist()
    return order[:num], order[num:][-num:]


def paint_scene(scene: Scene, palette: Sequence[Any], ignore_index: int) -> list[Any]:
    """Paint an image, its mask, the first and the last prediction, and the judged pixels.

    Returns:
        Five pictures, (H, W, 3), uint8, RGB, in the size of the mask.
    """
    height, width = scene.truth.shape
    void = scene.truth == ignore_index
    before, after = scene.predictions[0], scene.predictions[-1]
    truth = paint_labels(np.where(void, 0, scene.truth), palette)
    return [
        np.asarray(open_upright(Path(scene.path)).convert("RGB").resize((width, height))),
        np.where(void[..., None], np.uint8(255), truth),
        paint_labels(before, palette),
        paint_labels(after, palette),
        paint_labels(judge(scene.truth, before, after, ignore_index), list(PIXELS.values())),
    ]


def plot_scenes(scenes: Scenes, chosen: Sequence[int], ignore_index: int) -> Figure:
    """Plot images with the predictions of the first and the last folder."""
    titles = ["image", "ground truth", scenes.folders[0].name, scenes.folders[-1].name, "pixels"]
    columns: dict[str, list[Any]] = {title: [] for title in titles}
    palette = scenes.dataset.metainfo["palette"]
    shape = scenes[chosen[0]].truth.shape
    for index in chosen:
        pictures = paint_scene(scenes[index], palette, ignore_index)
        for title, picture in zip(titles, pictures, strict=True):
            columns[title].append(_fit(picture, shape))
    legend = dict(zip(scenes.dataset.metainfo["classes"], palette, strict=True)) | PIXELS
    return plot_comparison({title: np.stack(rows) for title, rows in columns.items()}, legend)


def _fit(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture at this size, with a white margin if its aspect ratio differs."""
    height, width = shape
    nearest = Image.Resampling.NEAREST
    return np.asarray(
        ImageOps.pad(Image.fromarray(picture), (width, height), nearest, color="white")
    )
