"""Matches published lists of labeled and unlabeled images with a data set.

There are three formats, each with one image per line:

- U2PL: the path of the image, or its bare name.
- CPS: the paths of image and mask separated by a tab, or a bare name.
- ST++, UniMatch and later methods: the paths of image and mask separated by a space.

The paths are those of the authors. Images are matched by name and, if several images of the data
set share it, by as much of the path as tells them apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from mmseg_u2pl.datasets.errors import DataError, describe
from mmseg_u2pl_tools.splits import Split

_IMAGE_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|tiff?)$", re.IGNORECASE)
_SHARE = re.compile(r"(?:.*_)?1(?:_|-|of)(\d+)")


class Entry(NamedTuple):
    """A line of a list.

    Attributes:
        image: Path or name of the image.
        mask: Path of the mask, empty if there is none.
    """

    image: str
    mask: str


class ListPair(NamedTuple):
    """A published split.

    Attributes:
        folder: Its folder relative to the published one, plus any suffix of the file names.
        labeled: The list of labeled images.
        unlabeled: The list of unlabeled images.
        hints: Names of files and folders that may state the number of labeled images, nearest
            first.
    """

    folder: Path
    labeled: Path
    unlabeled: Path
    hints: Sequence[str]


def find_pairs(source: Path) -> list[ListPair]:
    """Find the lists below a folder, or the pair that a list belongs to.

    Lists are ``.txt`` files with ``labeled`` in their names; the unlabeled list has ``unlabeled``
    instead. A folder ``all`` without an unlabeled list is skipped; UniMatch V2 has one for training
    on all labels.

    Args:
        source: A folder, or the labeled list of one split.

    Raises:
        DataError: There are none.
    """
    root, files = (source, source.rglob("*.txt")) if source.is_dir() else (source.parent, [source])
    pairs = []
    for path in sorted(files):
        if path.is_file() and "labeled" in path.stem and "unlabeled" not in path.stem:
            rest = re.sub("_?labeled", "", path.stem).strip("_-")
            unlabeled = path.with_name(path.name.replace("labeled", "unlabeled"))
            folder = path.parent.relative_to(root) / rest
            if folder.name == "all" and not unlabeled.exists():
                continue
            hints = [*reversed(folder.parts), root.resolve().name]
            pairs.append(ListPair(folder, path, unlabeled, hints))
    if not pairs:
        raise DataError(
            f"'{source}' has no list of labeled images: no file such as labeled.txt or "
            "train_labeled_1-16.txt."
        )
    return pairs


def read_list(path: Path) -> list[Entry]:
    """Read a list of any of the formats, skipping blank lines.

    Raises:
        DataError: The list is missing or empty, or a line has more than two paths.
    """
    if not path.is_file():
        raise DataError(f"The list '{path}' does not exist.")
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        fields = line.strip().split("\t") if "\t" in line else line.split()
        if len(fields) > 2:
            raise DataError(
                f"'{path}', line {number}: {line.strip()!r} has {len(fields)} parts. A line must "
                "hold the path of an image, or of an image and its mask."
            )
        if fields:
            entries.append(Entry(fields[0].strip(), fields[1].strip() if len(fields) > 1 else ""))
    if not entries:
        raise DataError(f"The list '{path}' is empty.")
    return entries


class ImageIndex:
    """Finds the images of a data set by their paths in published lists.

    Args:
        names: Image names, from :func:`~mmseg_u2pl_tools.image_folder.image_names`.
        img_suffix: Suffix of the image files.
    """

    def __init__(self, names: Iterable[str], img_suffix: str) -> None:
        self._ending = _IMAGE_SUFFIX.sub("", img_suffix)
        self._by_base: dict[str, list[str]] = {}
        for name in names:
            self._by_base.setdefault(_base(name), []).append(name)

    def bare(self, path: str) -> str:
        """Remove a path's suffix, and the ending of the data set's image names before it."""
        return _IMAGE_SUFFIX.sub("", path).removesuffix(self._ending)

    def find(self, path: str) -> str | None:
        """Return the name of an image; None if there is none, or the path is ambiguous."""
        bare = self.bare(path)
        names = self._by_base.get(_base(bare), [])
        if len(names) > 1:
            names = [name for name in names if f"/{bare}".endswith(f"/{name}")]
        return names[0] if len(names) == 1 else None

    def has_other_mask(self, entry: Entry) -> bool:
        """Whether the mask of a line is not named after its image."""
        return not _base(entry.mask or entry.image).startswith(_base(self.bare(entry.image)))


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def import_pair(pair: ListPair, index: ImageIndex, has_mask: Callable[[str], bool]) -> Split:
    """Read and check a published split.

    Args:
        pair: The lists.
        index: The images of the data set.
        has_mask: Whether an image has a mask.

    Returns:
        The names of its images in the data set.

    Raises:
        DataError: The split is invalid; the message lists all problems.
    """
    labeled, unlabeled = read_list(pair.labeled), read_list(pair.unlabeled)
    names = {entry.image: index.find(entry.image) for entry in [*labeled, *unlabeled]}
    found = [
        [name for entry in part if (name := names[entry.image]) is not None]
        for part in (labeled, unlabeled)
    ]
    problems = [
        describe(problem.format(len(images)), images, [advice])
        for images, problem, advice in _findings(labeled, names, found, index, has_mask)
        if images
    ]
    problems += _count_problems(pair.hints, len(labeled), len(labeled) + len(unlabeled))
    if problems:
        raise DataError("\n".join([f"{pair.labeled} and {pair.unlabeled.name}:", *problems]))
    return found[0], found[1]


def _findings(
    labeled: Sequence[Entry],
    names: Mapping[str, str | None],
    found: Sequence[Sequence[str]],
    index: ImageIndex,
    has_mask: Callable[[str], bool],
) -> list[tuple[list[str], str, str]]:
    """For each check, the images that fail it, the problem, and what to do."""
    return [
        (
            [image for image, name in names.items() if name is None],
            "{} images are not in the image folder, or their names are ambiguous",
            "Check IMG_DIR and --img-suffix.",
        ),
        (
            sorted({*found[0]} & {*found[1]}),
            "{} images are both labeled and unlabeled",
            "Remove them from one of the two lists.",
        ),
        (
            sorted(name for part in found for name, count in Counter(part).items() if count > 1),
            "{} images are listed more than once",
            "List them once.",
        ),
        (
            [f"{entry.image} {entry.mask}" for entry in labeled if index.has_other_mask(entry)],
            "{} images are listed with the mask of another image",
            "MMSegmentation finds a mask by the name of its image; rename the masks.",
        ),
        (
            [name for name in found[0] if not has_mask(name)],
            "{} labeled images have no mask",
            "Check --mask-dir and --seg-map-suffix.",
        ),
    ]


def _count_problems(hints: Sequence[str], num_labeled: int, total: int) -> list[str]:
    """Compare the number of labeled images with the first name that states one."""
    for name in hints:
        share = _SHARE.fullmatch(name)
        if share:
            meant = Fraction(1, int(share[1])) * total
            agrees = abs(num_labeled - meant) < 1  # some round up, some down
        elif name.isdecimal():
            meant = Fraction(name)
            agrees = num_labeled == meant
        else:
            continue
        if agrees:
            return []
        return [
            f"{num_labeled} of {total} images are labeled, but '{name}' in its path says "
            f"{float(meant):g}. Complete the lists, or rename the folder or files."
        ]
    return []
