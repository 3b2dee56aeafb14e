"""Convert photographs and LabelMe's JSON files to images, masks and lists.

SOURCE is the annotated folder: images, and next to each annotated one the JSON file that LabelMe
saved. Images without a JSON file become unlabeled images; a JSON file without shapes marks an image
as background only. Polygons, rectangles, circles and masks are painted in the order of the file.
Shapes labeled __ignore__ become 255 (unlabeled), and those labeled _background_ become background.

OUT gets images/*.jpg, masks/*.png, classes.txt, and splits/{labeled,unlabeled,val}.txt.
"""

from __future__ import annotations

import argparse
import json
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
from PIL import Image, ImageDraw

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl_tools.annotations import (
    BACKGROUND,
    IGNORE,
    Mask,
    Photo,
    add_output_arguments,
    check_size,
    choose_classes,
    convert_photos,
)
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.photos import find_images

IGNORED_LABEL = "__ignore__"
BACKGROUND_LABEL = "_background_"
NUM_POINTS = dict(polygon=3, rectangle=2, circle=2, mask=2)  # at least


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SOURCE", type=Path, help="folder of images and JSON")
    add_output_arguments(parser)
    return parser


def read_shapes(path: Path) -> dict[str, Any]:
    """Read a JSON file of LabelMe and check its shapes.

    Raises:
        DataError: It is not a LabelMe file, or has shapes without an area.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        shapes = content["shapes"]
        kinds = [shape.get("shape_type") or "polygon" for shape in shapes]
        lengths = [len(shape["points"]) for shape in shapes]
        labels = [shape["label"] for shape in shapes]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"'{path}' is not a LabelMe annotation ({type(error).__name__}: {error}). Save the "
            "image in LabelMe again, or remove the file."
        ) from error
    flat = [
        f"{label}: {kind} with {length} points"
        for label, kind, length in zip(labels, kinds, lengths, strict=True)
        if length < NUM_POINTS.get(kind, math.inf)
    ]
    raise_if_any(f"'{path}' has shapes without an area", flat, ["Make them polygons in LabelMe."])
    return content


def class_name(label: str) -> str:
    return BACKGROUND if label == BACKGROUND_LABEL else label


def paint_shape(canvas: Image.Image, shape: Mapping[str, Any], value: int) -> None:
    """Fill one shape."""
    draw = ImageDraw.Draw(canvas)
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon":
        draw.polygon(points, fill=value, outline=value)
        return
    (x0, y0), (x1, y1) = points[:2]
    if kind == "rectangle":
        draw.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=value)
    elif kind == "circle":  # center, and a point on the circle
        radius = math.dist(*points[:2])
        draw.ellipse([x0 - radius, y0 - radius, x0 + radius, y0 + radius], fill=value)
    else:  # a mask: its corners, and a PNG of the pixels inside
        with Image.open(BytesIO(b64decode(shape["mask"]))) as stencil:
            stamp = Image.fromarray((np.array(stencil) > 0).astype(np.uint8) * 255)
        canvas.paste(value, (round(x0), round(y0)), mask=stamp)


def paint_shapes(
    path: Path, content: Mapping[str, Any], size: tuple[int, int], classes: Mapping[str, int]
) -> Mask:
    """Paint the mask of one JSON file.

    Raises:
        DataError: The file belongs to an image of another size.
    """
    annotated = content.get("imageWidth") or size[0], content.get("imageHeight") or size[1]
    advice = "Annotate this image again, or restore the one that was annotated."
    check_size(f"'{path}'", annotated, size, advice)
    values = {**classes, IGNORED_LABEL: IGNORE}
    canvas = Image.new("L", size, classes[BACKGROUND])
    for shape in content["shapes"]:
        paint_shape(canvas, shape, values[class_name(shape["label"])])
    return np.array(canvas)


def find_photos(source: Path) -> tuple[list[Photo], list[str]]:
    """Find all images, and the classes of the annotations, sorted.

    Raises:
        DataError: There are no images or no annotations, or a JSON file has no image.
    """
    images = find_images(source)
    files = {
        path.relative_to(source).with_suffix("").as_posix(): path
        for path in sorted(source.rglob("*.json"))
    }
    if not files:
        raise DataError(
            f"'{source}' has no JSON files. Give the folder in which LabelMe saved them, next to "
            "the images."
        )
    strays = [str(path) for name, path in files.items() if name not in images]
    raise_if_any(
        f"{len(strays)} JSON files have no image of the same name",
        strays,
        ["Add the images, or remove the files."],
    )
    contents = {name: read_shapes(path) for name, path in files.items()}
    labels = {shape["label"] for content in contents.values() for shape in content["shapes"]}
    photos = [
        Photo(path, name, partial(paint_shapes, files[name], contents[name]))
        if name in files
        else Photo(path, name, None)
        for name, path in images.items()
    ]
    return photos, sorted(class_name(label) for label in labels - {IGNORED_LABEL})


def run(args: argparse.Namespace) -> None:
    photos, labels = find_photos(args.source)
    convert_photos(photos, choose_classes(args.classes, labels), args)


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
