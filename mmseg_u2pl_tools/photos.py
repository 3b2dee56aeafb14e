"""Photographs in a folder, rotated upright."""

from pathlib import Path

from PIL import Image, ImageOps
from PIL.ExifTags import Base

from mmseg_u2pl.datasets.errors import DataError, raise_if_any

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

_JPEG_QUALITY = 95


def find_images(folder: Path) -> dict[str, Path]:
    """Find all images of a folder and its subfolders.

    Args:
        folder: The folder.

    Returns:
        Files by name, relative to the folder and without suffix, sorted by name.

    Raises:
        DataError: The folder has no image, or two images whose names differ only in the suffix.
    """
    if not folder.is_dir():
        raise DataError(f"The image folder '{folder}' does not exist.")
    images: dict[str, Path] = {}
    twice = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in images:
                twice.append(f"{images[name]} and {path.name}")
            images[name] = path
    raise_if_any("Image names differ only in the suffix", twice, ["Rename one of each pair."])
    if not images:
        raise DataError(f"'{folder}' has no images ({', '.join(IMAGE_SUFFIXES)}).")
    return dict(sorted(images.items()))


def open_upright(path: Path) -> Image.Image:
    """Open an image as annotation programs and MMCV do, rotated according to its EXIF data.

    Args:
        path: The image file.

    Returns:
        The image; its file is closed.

    Raises:
        DataError: The file is damaged.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read as an image: {error}. Remove it.") from error


def write_upright(source: Path, image: Image.Image, target: Path) -> None:
    """Write an upright JPEG, or copy the file if it already is one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as original:
        is_upright = original.getexif().get(Base.Orientation, 1) == 1
        is_rgb_jpeg = original.format == "JPEG" and original.mode == "RGB"
    if is_upright and is_rgb_jpeg:
        target.write_bytes(source.read_bytes())
    else:
        image.convert("RGB").save(target, quality=_JPEG_QUALITY)
