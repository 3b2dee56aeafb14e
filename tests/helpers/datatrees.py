"""Small data sets with the layout of the real ones, and the tools' main()."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"


def tool_path(name: str) -> Path:
    """A tool of tools/ or dev/ by file name."""
    [path] = [*TOOLS.rglob(name), *(ROOT / "dev").glob(name)]
    return path


def load_tool(name: str) -> ModuleType:
    """Import a tool of tools/ or dev/ by its name without suffix."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", tool_path(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_main(tool: ModuleType, *arguments: object) -> int:
    """Run a tool in this process; return its exit status."""
    try:
        tool.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def keep_columns(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Columns that a module passes to plot_comparison."""
    kept: dict[str, np.ndarray] = {}
    plot = module.plot_comparison

    def keep(columns: dict[str, np.ndarray], legend: dict) -> object:
        kept.update(columns)
        return plot(columns, legend)

    monkeypatch.setattr(module, "plot_comparison", keep)
    return kept


def write_image(path: Path, size: tuple[int, int] = (4, 6), value: int = 90) -> None:
    """Write an image of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def write_sideways(path: Path, picture: np.ndarray) -> None:
    """Write a picture as from a camera held upright: rotated, with EXIF data for it.

    Args:
        path: A JPEG file.
        picture: (H, W, 3), RGB, upright.
    """
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    Image.fromarray(np.rot90(picture)).save(path, exif=exif, quality=95)


def write_mask(path: Path, values: Sequence[int] | int, size: tuple[int, int] = (4, 6)) -> None:
    """Write a mask that starts with `values` and repeats the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.atleast_1d(values)
    mask = np.full(size, values[-1], np.uint8)
    mask.ravel()[: len(values)] = values
    Image.fromarray(mask).save(path)


def write_list(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def make_voc(root: Path, train: Sequence[str], val: Sequence[str], sbd: Sequence[str]) -> Path:
    """VOC 2012 as unpacked, including images for the names of SBD, as in the archive.

    VOC's masks have 1 and the border value 255.
    """
    voc = root / "VOCdevkit" / "VOC2012"
    for name in {*train, *val, *sbd}:
        write_image(voc / "JPEGImages" / f"{name}.jpg")
    for name in {*train, *val}:
        write_mask(voc / "SegmentationClass" / f"{name}.png", [1, 1, 255])
    write_list(voc / "ImageSets/Segmentation/train.txt", train)
    write_list(voc / "ImageSets/Segmentation/val.txt", val)
    return voc


def make_sbd(root: Path, train: Sequence[str], val: Sequence[str]) -> Path:
    """SBD as unpacked, as far as MMSegmentation's converter reads it."""
    from scipy.io import savemat

    dataset = root / "benchmark_RELEASE" / "dataset"
    (dataset / "cls").mkdir(parents=True)
    for name in {*train, *val}:
        mask = np.full((4, 6), 1, np.uint8)
        content = {"Segmentation": mask, "Boundaries": 0, "CategoriesPresent": 1}
        savemat(dataset / "cls" / f"{name}.mat", {"GTcls": content})
    write_list(dataset / "train.txt", train)
    write_list(dataset / "val.txt", val)
    return root / "benchmark_RELEASE"


def make_cityscapes(root: Path) -> Path:
    """Two cities for training, one for validation; each mask has all label ids."""
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau")):
        for frame in range(2):
            name = f"{city}_{frame:06}_000019"
            write_image(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", (5, 8))
            path = root / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png"
            write_mask(path, range(34), (5, 8))
    return root


def make_segnet_camvid(root: Path, counts: dict[str, int]) -> Path:
    """CamVid as in the SegNet tutorial: frames of a split and their masks, where 11 is void."""
    for split, count in counts.items():
        for number in range(count):
            write_image(root / split / f"0001TP_{number:06}.png", value=10 * number % 256)
            write_mask(
                root / f"{split}annot" / f"0001TP_{number:06}.png", [*range(12), number % 12]
            )
    return root


def labelme_json(path: Path, size: tuple[int, int], shapes: Sequence[dict]) -> None:
    """Write LabelMe's file for an image of (height, width)."""
    content = dict(
        version="5.5.0",
        flags={},
        shapes=[dict(shape_type="polygon", group_id=None, flags={}) | shape for shape in shapes],
        imagePath=path.with_suffix(".jpg").name,
        imageData=None,
        imageHeight=size[0],
        imageWidth=size[1],
    )
    path.write_text(json.dumps(content))


CVAT_COLORS = [(0, 0, 0), (250, 50, 83), (51, 221, 255), (250, 250, 55)]


def make_cvat_masks(root: Path, masks: dict[str, np.ndarray], classes: Sequence[str]) -> Path:
    """A "Segmentation mask 1.1" export, whose masks have colors; class 0 is the background."""
    lines = ["# label:color_rgb:parts:actions"]
    lines += [
        f"{name}:{','.join(map(str, color))}::"
        for name, color in zip(classes, CVAT_COLORS, strict=False)
    ]
    write_list(root / "labelmap.txt", lines)
    write_list(root / "ImageSets/Segmentation/default.txt", sorted(masks))
    for name, mask in masks.items():
        path = root / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(CVAT_COLORS, np.uint8)[mask]).save(path)
    return root
