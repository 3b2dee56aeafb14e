"""Convert photographs and a CVAT export to images, masks and lists.

EXPORT is the unpacked export of a task or project, in one of two formats:
"Segmentation mask 1.1" (labelmap.txt and SegmentationClass/*.png) or "CVAT for images 1.1"
(annotations.xml). IMAGES is the folder of all photographs, with the names they have in CVAT. Images
without a mask in the export, or without a shape in annotations.xml, become unlabeled images.
Polygons and boxes are painted in their z order. For brush masks, use the first format.

OUT gets images/*.jpg, masks/*.png, classes.txt, and splits/{labeled,unlabeled,val}.txt.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
from PIL import Image, ImageDraw

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl_tools.annotations import (
    BACKGROUND,
    Mask,
    Photo,
    add_output_arguments,
    check_size,
    choose_classes,
    convert_photos,
)
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.photos import find_images

Color = tuple[int, int, int]
Paint = Callable[[tuple[int, int], Mapping[str, int]], Mask]
FORMATS = (
    "Export as 'Segmentation mask 1.1' or 'CVAT for images 1.1', and give the folder of the "
    "unpacked archive."
)
UPLOADED = "Give the images that were uploaded to CVAT."


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", metavar="EXPORT", type=Path, help="folder of the unpacked export")
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder of the photographs")
    add_output_arguments(parser)
    return parser


def read_label_map(path: Path) -> dict[Color, str]:
    """Read labelmap.txt, whose lines are ``label:red,green,blue:parts:actions``.

    Raises:
        DataError: A line has another format, or two classes have the same color.
    """
    names: dict[Color, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, color = line.split(":")[:2]
            red, green, blue = (int(value) for value in color.split(","))
        except ValueError as error:
            raise DataError(
                f"'{path}', line {number}, is not 'label:r,g,b::'. {FORMATS}"
            ) from error
        if (red, green, blue) in names:
            raise DataError(
                f"'{path}': {names[red, green, blue]} and {name} have the same color. Give the "
                "labels different colors in CVAT, and export again."
            )
        names[red, green, blue] = name
    return names


def require_classes(path: Path, drawn: Iterable[str], values: Mapping[str, int]) -> None:
    """Refuse annotations of classes that have no number.

    Labels of the project that nobody drew need not be classes, so this is checked file by file.

    Raises:
        DataError: A drawn class is not among --classes.
    """
    raise_if_any(
        f"'{path}' shows classes that are not among --classes",
        sorted(set(drawn) - values.keys()),
        ["Add them or correct the names."],
    )


def recolor(
    path: Path, names: Mapping[Color, str], size: tuple[int, int], values: Mapping[str, int]
) -> Mask:
    """Turn the colors of a mask into classes.

    Raises:
        DataError: A color is not in the label map, its class is not among the values, or the image
            has another size.
    """
    with Image.open(path) as image:
        check_size(f"'{path}'", image.size, size, UPLOADED)
        pixels = np.array(image.convert("RGB"), np.uint32)
    codes = pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, inverse = np.unique(codes, return_inverse=True)
    colors = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found]
    unknown = [str(color) for color in colors if color not in names]
    raise_if_any(f"'{path}' has colors that are not in labelmap.txt", unknown, [FORMATS])
    require_classes(path, (names[color] for color in colors), values)
    table = np.array([values[names[color]] for color in colors], np.uint8)
    return table[inverse].reshape(codes.shape)


def read_masks(export: Path) -> tuple[dict[str, Paint], list[str]]:
    """Read a "Segmentation mask 1.1" export: how to make each mask, and the classes."""
    names = read_label_map(export / "labelmap.txt")
    folder = export / "SegmentationClass"
    masks: dict[str, Paint] = {
        path.relative_to(folder).with_suffix("").as_posix(): partial(recolor, path, names)
        for path in sorted(folder.rglob("*.png"))
    }
    return masks, list(names.values())


def paint_xml(
    path: Path, image: ElementTree.Element, size: tuple[int, int], values: Mapping[str, int]
) -> Mask:
    """Paint polygons and boxes of one image of annotations.xml.

    Raises:
        DataError: The class of a shape is not among the values, or the image has another size.
    """
    expected = int(image.attrib["width"]), int(image.attrib["height"])
    check_size(f"'{path}': {image.attrib['name']}", expected, size, UPLOADED)
    shapes = shapes_of(image)
    require_classes(path, (shape.attrib["label"] for shape in shapes), values)
    canvas = Image.new("L", size, values[BACKGROUND])
    draw = ImageDraw.Draw(canvas)
    for shape in sorted(shapes, key=lambda shape: int(shape.get("z_order", 0))):
        value = values[shape.attrib["label"]]
        if shape.tag == "box":
            draw.rectangle(
                [float(shape.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")], fill=value
            )
        else:
            points = [tuple(map(float, xy.split(","))) for xy in shape.attrib["points"].split(";")]
            draw.polygon(points, fill=value, outline=value)
    return np.array(canvas)


def shapes_of(image: ElementTree.Element) -> list[ElementTree.Element]:
    """The annotated shapes of an image; tags apply to the whole image and are skipped."""
    return [shape for shape in image if shape.tag != "tag"]


def read_xml(path: Path) -> tuple[dict[str, Paint], list[str]]:
    """Read a "CVAT for images 1.1" export: how to make each mask, and the classes."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"'{path}' is not XML: {error}. {FORMATS}") from error
    masks: dict[str, Paint] = {}
    others = []
    for image in root.iter("image"):
        if shapes := shapes_of(image):
            masks[PurePosixPath(image.attrib["name"]).with_suffix("").as_posix()] = partial(
                paint_xml, path, image
            )
        others += [
            f"{image.attrib['name']}: {shape.tag}"
            for shape in shapes
            if shape.tag not in ("polygon", "box") or float(shape.get("rotation", 0))
        ]
    raise_if_any(
        f"'{path}' has shapes that are neither polygons nor upright boxes",
        others,
        ["Export as 'Segmentation mask 1.1'."],
    )
    return masks, [name for label in root.iter("label") if (name := label.findtext("name"))]


def read_export(export: Path) -> tuple[dict[str, Paint], list[str]]:
    """Read an export of either format.

    Raises:
        DataError: It has neither format, or no annotations.
    """
    if (export / "labelmap.txt").is_file() and (export / "SegmentationClass").is_dir():
        masks, classes = read_masks(export)
    elif (export / "annotations.xml").is_file():
        masks, classes = read_xml(export / "annotations.xml")
    else:
        raise DataError(
            f"'{export}' has neither labelmap.txt and SegmentationClass nor annotations.xml. "
            f"{FORMATS}"
        )
    if not masks:
        raise DataError(f"'{export}' has no annotations. Annotate images, and export again.")
    return masks, classes


def find_photos(export: Path, folder: Path) -> tuple[list[Photo], list[str]]:
    """Find all images, and the classes in the order of the export.

    Raises:
        DataError: Annotated images are missing, or the export cannot be read.
    """
    masks, classes = read_export(export)
    images = find_images(folder)
    missing = sorted(set(masks) - set(images))
    raise_if_any(
        f"{len(missing)} annotated images are not in '{folder}'",
        missing,
        ["Give the folder that was uploaded; image names in CVAT are relative to it."],
    )
    return [Photo(path, name, masks.get(name)) for name, path in images.items()], classes


def run(args: argparse.Namespace) -> None:
    photos, labels = find_photos(args.export, args.images)
    convert_photos(photos, choose_classes(args.classes, args.classes or labels), args)


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
