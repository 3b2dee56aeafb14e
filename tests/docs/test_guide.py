"""docs/guide.md, from photographs to pseudo-labels, with fewer iterations."""

import json
import multiprocessing as mp
import os
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datatrees import labelme_json

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guide.md").read_text()
SIZE = (120, 160)
SHORT = (
    "train_cfg.max_iters=3 train_cfg.val_interval=3 "
    "default_hooks.checkpoint.interval=3 default_hooks.logger.interval=1"
)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def write_photos(folder):
    """Eighteen pictures with a circle and a square, nine of them annotated."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(18):
        image = Image.fromarray(rng.integers(0, 80, (*SIZE, 3), dtype=np.uint8))
        x, y = (int(value) for value in rng.integers(20, 60, 2))
        draw = ImageDraw.Draw(image)
        draw.ellipse([x - 15, y - 15, x + 15, y + 15], fill=(220, 40, 40))
        draw.rectangle([x + 40, y, x + 70, y + 30], fill=(40, 40, 220))
        image.save(folder / f"scene_{number}.jpg")
        if number < 9:
            circle = dict(label="circle", shape_type="circle", points=[[x, y], [x + 15, y]])
            corners = [[x + 40, y], [x + 70, y + 30]]
            square = dict(label="square", shape_type="rectangle", points=corners)
            labelme_json(folder / f"scene_{number}.json", SIZE, [circle, square])


def run(command, folder):
    """Run a command of the page in a separate process, and return its output.

    The processes are forked from one that has imported the package, because importing takes
    seconds.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["mmseg_u2pl"])
    output = folder / "output.txt"
    process = context.Process(target=_run, args=(shlex.split(command), folder, output))
    process.start()
    process.join()
    text = output.read_text()
    assert process.exitcode == 0, f"{command}\n{text[-4000:]}"
    return text


def _run(words, folder, output):
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    mp.set_start_method("fork", force=True)  # for data loaders, as in a separate program
    python, *sys.argv = words
    assert python == "python"
    runpy.run_path(sys.argv[0], run_name="__main__")


def commands():
    """The page's commands in order, without the installation."""
    text = "".join(blocks("shell")[1:]).replace("\\\n", " ").replace("iter_1000", "iter_3")
    for command in text.splitlines():
        if "tools/train.py" in command:
            command += f" {SHORT}" if "--cfg-options" in command else f" --cfg-options {SHORT}"
        yield command


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder after all steps, and their output."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "tools").symlink_to(ROOT / "tools")
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_photos(folder / "photos")
    classes, pictures, use = blocks("python")
    custom = folder / "configs/_base_/datasets/custom.py"
    custom.write_text(re.sub(r"^classes = .*\n", classes, custom.read_text(), flags=re.M))
    (folder / "use.py").write_text(use)
    printed = ""
    for command in commands():
        printed += run(command, folder)
        if "wrap_config" in command:
            with (folder / "configs/my/u2pl.py").open("a") as file:
                file.write(pictures.replace("interval=500", "interval=3"))
    return folder, printed + run("python use.py", folder)


def test_classes_are_those_that_the_converter_prints(followed):
    line = 'classes = ("background", "circle", "square")'
    assert line in followed[1]
    assert line in PAGE


def test_first_batches_and_training_steps_are_pictured(followed):
    folder = followed[0] / "work_dirs"
    assert {path.name for path in (folder / "browse").iterdir()} == {
        f"{batch}_{stream}.png" for batch in (0, 1) for stream in ("labeled", "unlabeled")
    }
    steps = (folder / "u2pl").glob("*/vis_data/vis_image/train_*.png")
    assert {path.name for path in steps} == {"train_labeled_3.png", "train_unlabeled_3.png"}


def test_all_models_are_validated_and_drawn(followed):
    for run_name in ("plain", "longer", "u2pl"):
        (scalars,) = (followed[0] / "work_dirs" / run_name).glob("*/vis_data/scalars.json")
        records = [json.loads(line) for line in scalars.read_text().splitlines()]
        assert "mIoU" in records[-1]
    assert Image.open(followed[0] / "curves.png").size > (100, 100)


def test_unlabeled_images_are_trained_with_from_the_first_step(followed):
    (scalars,) = (followed[0] / "work_dirs/u2pl").glob("*/vis_data/scalars.json")
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [record["step"] for record in records if record.get("unsup.loss_ce", 0) > 0] == [1, 2, 3]


def test_predictions_are_masks_of_the_classes_in_the_size_of_the_photographs(followed):
    folder, printed = followed
    names = (folder / "data/mine/splits/val.txt").read_text().split()
    for model in ("longer", "u2pl"):
        paths = (folder / "predictions" / model).glob("*.png")
        masks = {path.stem: np.array(Image.open(path)) for path in paths}
        assert sorted(masks) == sorted(names)
        assert len(names) == 2
        assert all(mask.shape == SIZE and mask.max() < 3 for mask in masks.values())
    assert printed.rstrip().endswith(f"torch.Size([1, {SIZE[0]}, {SIZE[1]}])")


def test_both_models_are_compared_class_by_class(followed):
    folder, printed = followed
    for name in ("background", "circle", "square"):
        assert re.search(rf"^\| {name} +\|( *-?[\d.]+ \|)+", printed, re.M), printed
    assert Image.open(folder / "gains.png").size > (100, 100)
    report = (folder / "report.html").read_text()
    for name in ("longer", "u2pl", "background", "circle", "square", "sup_only_iters"):
        assert name in report


def test_unlabeled_images_get_masks_and_ranks(followed):
    folder = followed[0]
    names = (folder / "data/mine/splits/unlabeled.txt").read_text().split()
    masks = (folder / "predicted/SegmentationClass").glob("*.png")
    assert sorted(path.stem for path in masks) == sorted(names)
    ranking = (folder / "predicted/ranking.csv").read_text().splitlines()
    assert len(ranking) == 1 + len(names) == 10
    assert Image.open(folder / "predicted/contact_sheet.png").size > (100, 100)
