"""A folder of images, with or without masks, given on the command line."""

from __future__ import annotations

import argparse
import inspect
import os.path as osp
from collections import Counter
from difflib import get_close_matches
from operator import itemgetter

from mmengine.utils import scandir
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_u2pl.checks.listed_files import check_files, check_overlap
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.lists import check_split_file, data_infos


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that :func:`open_folder` reads.

    Args:
        parser: The parser to extend.
    """
    add = parser.add_argument
    add("--mask-dir", help="folder of masks with the same names as the images")
    add(
        "--dataset",
        default="BaseSegDataset",
        metavar="TYPE",
        help="MMSegmentation data set type, which sets classes and suffixes, such as "
        "CityscapesDataset (default: %(default)s)",
    )
    add("--img-suffix", help="suffix of the images (default: that of the data set type, or .jpg)")
    add(
        "--seg-map-suffix", help="suffix of the masks (default: that of the data set type, or .png)"
    )


def open_folder(
    args: argparse.Namespace, ann_file: str = "", classes: list[str] | None = None
) -> BaseSegDataset:
    """Open the images of a folder, and their masks if there are any, as a data set.

    Args:
        args: Arguments parsed with :func:`add_folder_arguments` and ``img_dir``.
        ann_file: List of the images to use; empty for the whole folder.
        classes: Class names; None for those of the data set type.

    Returns:
        The data set, sorted by name, without files that are masks. Its pipeline only loads masks.

    Raises:
        DataError: The data set type is unknown, a suffix has no dot, or images are missing or
            listed twice.
    """
    _check_arguments(args, ann_file)
    kind = _dataset_class(args.dataset)
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()
    }
    # Not built with the type itself, because some types need a list.
    config = dict(
        type="BaseSegDataset",
        ann_file=ann_file,
        data_prefix=dict(img_path=args.img_dir, seg_map_path=args.mask_dir),
        img_suffix=args.img_suffix or defaults.get("img_suffix", ".jpg"),
        seg_map_suffix=args.seg_map_suffix or defaults.get("seg_map_suffix", ".png"),
        reduce_zero_label=defaults.get("reduce_zero_label", False),
        metainfo=dict(classes=classes or kind.METAINFO.get("classes", ())),
        pipeline=[dict(type="LoadAnnotations")],
        serialize_data=False,
    )
    dataset = DATASETS.build(config)
    if len(dataset) == 0:
        raise DataError(
            f"The image directory '{args.img_dir}' has no file that ends in "
            f"'{dataset.img_suffix}'. Check the directory and --img-suffix."
        )
    if not ann_file:
        # Masks may be in the image folder, with the same suffix.
        masks = {info.get("seg_map_path") for info in dataset.data_list}
        dataset.data_list = [info for info in dataset.data_list if info["img_path"] not in masks]
    # Random draws must not depend on the order of a list.
    dataset.data_list.sort(key=itemgetter("img_path"))
    check_files([dataset], "images", masks=False)
    check_overlap({"images": [dataset]})
    return dataset


def left_out(dataset: BaseSegDataset) -> str | None:
    """Warn of images in the folder whose suffix is not that of the data set.

    Args:
        dataset: Result of :func:`open_folder` for the whole folder.

    Returns:
        A warning that counts them; None if there are none.
    """
    folder, suffix = dataset.data_prefix["img_path"], dataset.img_suffix
    known = Image.registered_extensions()
    masks = {info.get("seg_map_path") for info in data_infos(dataset)}
    endings = Counter(
        osp.splitext(name)[1]
        for name in scandir(folder, recursive=True)
        if osp.splitext(name)[1].lower() in known
        and not name.endswith(suffix)
        and osp.join(folder, name) not in masks
    )
    if not endings:
        return None
    counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
    return (
        f"{endings.total()} images of '{folder}' do not end in '{suffix}' and are skipped with "
        f"their masks: {counts}. A data set has one suffix: convert them, or make one data set per "
        "suffix (img_suffix of a config, --img-suffix of tools/misc/make_splits.py)."
    )


def _check_arguments(args: argparse.Namespace, ann_file: str) -> None:
    """Refuse invalid suffixes and paths, naming the command-line argument."""
    for option, suffix in (
        ("--img-suffix", args.img_suffix),
        ("--seg-map-suffix", args.seg_map_suffix),
    ):
        if suffix and "." not in suffix:
            raise DataError(f"{option} {suffix}: a suffix begins with a dot; give .{suffix}")
    for what, path, is_there in (
        ("image directory", args.img_dir, osp.isdir),
        ("mask directory", args.mask_dir, osp.isdir),
        ("list of --ann-file", ann_file, osp.isfile),
    ):
        if path and "://" not in path and not is_there(path):
            raise DataError(
                f"The {what} '{path}' does not exist. Give a path from the current folder, or an "
                "absolute one."
            )
    if ann_file:
        check_split_file(ann_file, "images")


def _dataset_class(name: str) -> type[BaseSegDataset]:
    kind = DATASETS.get(name)
    if isinstance(kind, type) and issubclass(kind, BaseSegDataset):
        return kind
    known = [
        other
        for other, candidate in DATASETS.module_dict.items()
        if isinstance(candidate, type) and issubclass(candidate, BaseSegDataset)
    ]
    close = get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known types: {', '.join(sorted(known))}."
    raise DataError(f"MMSegmentation has no data set type '{name}'. {hint}")


def image_names(dataset: BaseSegDataset) -> list[str]:
    """Image names as in an ``ann_file``: relative to their folder and without suffix.

    Args:
        dataset: Result of :func:`open_folder`.
    """
    folder, suffix = dataset.data_prefix["img_path"], dataset.img_suffix
    return [
        osp.relpath(info["img_path"], folder).removesuffix(suffix).replace(osp.sep, "/")
        for info in data_infos(dataset)
    ]
