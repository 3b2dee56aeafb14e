"""Writes the built-in data set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl.utils.progress import track
from mmseg_u2pl_tools.atomic_folder import atomic_folder
from scenes import CLASSES, MIN_SIZE, PALETTE, render_scene

IMAGE_DIR = "JPEGImages"
MASK_DIR = "SegmentationClass"
SPLIT_DIR = "ImageSets/Segmentation"

_INFO_FILE = "builtin.json"
_JPEG_QUALITY = 92
_SPLITS = ("train", "val")
# Increase it whenever the same seed gives other pictures, so that old folders are not reused.
_FORMAT = 1
_LABELED_STREAM = len(_SPLITS)  # distinct from the streams of the images, (seed, split, index)
_LABELED_DRAWS = 100


def write_builtin_dataset(
    root: str | os.PathLike,
    *,
    num_train: int = 480,
    num_val: int = 120,
    labeled_fraction: float = 1 / 16,
    size: int = 128,
    seed: int = 0,
    num_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Render the built-in data set into a folder with the layout of PASCAL VOC.

    ``JPEGImages/NAME.jpg``, ``SegmentationClass/NAME.png`` (palette images whose index is the
    class) and ``ImageSets/Segmentation/{train,labeled,unlabeled,val}.txt``. The training list is
    split into the labeled and the unlabeled list; masks exist for all images. Every class occurs in
    the labeled images, if there are enough of them.

    An image only depends on ``(seed, split, index, size)``, so its bytes do not change with the
    number of images or workers. They may change with the versions of NumPy and OpenCV. The folder
    gets its name once it is complete, and a complete folder is reused.

    Args:
        root: Folder to write: absent, empty, or already written with the same parameters.
        num_train: Number of training images, at least 2.
        num_val: Number of validation images, at least 1.
        labeled_fraction: Labeled share of the training images, in (0, 1).
        size: Image side in pixels, at least 64.
        seed: Seed of all randomness, not negative.
        num_workers: Number of processes; None for one per processor.
        progress: Whether to show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: If a parameter has an impossible value.
        FileExistsError: If the folder has other contents or was made with other parameters.
    """
    root = Path(root)
    num_workers = os.cpu_count() or 1 if num_workers is None else num_workers
    num_labeled = _count_labeled(num_train, labeled_fraction)
    for name, value, least in (
        ("num_val", num_val, 1),
        ("size", size, MIN_SIZE),
        ("seed", seed, 0),
        ("num_workers", num_workers, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value} is too small; use at least {least}")
    parameters = dict(
        format=_FORMAT,
        num_train=num_train,
        num_val=num_val,
        num_labeled=num_labeled,
        size=size,
        seed=seed,
    )
    if _is_complete(root, parameters):
        return root

    with atomic_folder(root) as folder:
        _write_images(folder, parameters, num_workers, progress)
        (folder / _INFO_FILE).write_text(json.dumps(parameters, indent=2) + "\n")
    return root


def _count_labeled(num_train: int, labeled_fraction: float) -> int:
    """Number of labeled images; at least one image of each kind must be left."""
    if num_train < 2:
        raise ValueError(f"num_train={num_train} is too small; use at least 2")
    num_labeled = round(num_train * labeled_fraction)
    if not 1 <= num_labeled < num_train:
        raise ValueError(
            f"labeled_fraction={labeled_fraction:g} labels {num_labeled} of num_train={num_train} "
            f"images; choose it so that 1 to {num_train - 1} are labeled"
        )
    return num_labeled


def _is_complete(root: Path, parameters: dict[str, int]) -> bool:
    """Whether ``root`` has the data set with these parameters; False if absent or empty."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    info = root / _INFO_FILE
    if not info.is_file():
        raise FileExistsError(
            f"{root} is not a built-in data set ({_INFO_FILE} is missing); choose another folder "
            "or remove this one"
        )
    found = json.loads(info.read_text())
    differing = [
        f"{key} is {found.get(key)} there and {value} here"
        for key, value in parameters.items()
        if found.get(key) != value
    ]
    if differing:
        raise FileExistsError(
            f"{root} was made with other parameters: {', '.join(differing)}; choose another "
            "folder, pass the same parameters, or remove this one"
        )
    return True


def _write_images(
    folder: Path, parameters: dict[str, int], num_workers: int, progress: bool
) -> None:
    """Render all images with their masks and write the lists."""
    for name in (IMAGE_DIR, MASK_DIR, SPLIT_DIR):
        (folder / name).mkdir(parents=True)
    counts = (parameters["num_train"], parameters["num_val"])
    tasks = [(split, index) for split, count in enumerate(counts) for index in range(count)]
    write = partial(_write_image, folder, parameters["size"], parameters["seed"])
    shown = _run(write, tasks, num_workers, progress)
    names = [_name(split, index) for split, index in tasks]
    train, val = names[: counts[0]], names[counts[0] :]
    is_labeled = _choose_labeled(
        np.stack(shown[: counts[0]]), parameters["num_labeled"], parameters["seed"]
    )
    lists = dict(
        train=train,
        labeled=[name for name, chosen in zip(train, is_labeled, strict=True) if chosen],
        unlabeled=[name for name, chosen in zip(train, is_labeled, strict=True) if not chosen],
        val=val,
    )
    for split, members in lists.items():
        (folder / SPLIT_DIR / f"{split}.txt").write_text("\n".join(members) + "\n")


def _run(function: Callable, tasks: list, num_workers: int, progress: bool) -> list:
    """Apply ``function`` to all tasks, in order, with a progress bar."""
    threads = cv2.getNumThreads()
    # Before the fork: a worker waits forever for OpenCV threads that it inherited only by name.
    cv2.setNumThreads(1)
    try:
        bar = partial(track, title="Drawing scenes", total=len(tasks), hidden=not progress)
        if num_workers == 1:
            return list(bar(map(function, tasks)))
        with ProcessPoolExecutor(num_workers, get_context("fork")) as pool:
            return list(bar(pool.map(function, tasks)))
    finally:
        cv2.setNumThreads(threads)


def _name(split: int, index: int) -> str:
    return f"{_SPLITS[split]}_{index:05d}"


def _write_image(folder: Path, size: int, seed: int, task: tuple[int, int]) -> NDArray[np.bool_]:
    """Write an image and its mask; return which classes it shows, (number of classes,)."""
    image, mask = render_scene(np.random.default_rng([seed, *task]), size)
    name = _name(*task)
    Image.fromarray(image).save(folder / IMAGE_DIR / f"{name}.jpg", quality=_JPEG_QUALITY)
    png = Image.fromarray(mask)
    png.putpalette([channel for color in PALETTE for channel in color])
    png.save(folder / MASK_DIR / f"{name}.png")
    return np.bincount(mask.ravel(), minlength=len(CLASSES)) > 0


def _choose_labeled(shown: NDArray[np.bool_], num_labeled: int, seed: int) -> NDArray[np.bool_]:
    """Draw the labeled images at random so that, if possible, they show every class.

    Args:
        shown: (number of images, number of classes), which image shows which class.
        num_labeled: Number of images to draw.
        seed: Random seed.

    Returns:
        (number of images,), whether an image is labeled.
    """
    rng = np.random.default_rng([seed, _LABELED_STREAM])
    draws = [rng.permutation(len(shown))[:num_labeled] for _ in range(_LABELED_DRAWS)]
    best = max(draws, key=lambda draw: shown[draw].any(axis=0).sum())
    return np.isin(np.arange(len(shown)), best)
