"""docs/get_started.md, from photographs to predictions, as it stands but for the iterations."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datatrees import labelme_json

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/get_started.md").read_text()
SIZE = (120, 160)
SHORT = (
    "--cfg-options train_cfg.max_iters=2 train_cfg.val_interval=2 "
    "default_hooks.checkpoint.interval=2 default_hooks.logger.interval=1"
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


def run(command, cwd):
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder after all steps, and what they printed."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "tools").symlink_to(ROOT / "tools")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "configs/my").mkdir()
    write_photos(folder / "photos")
    config, use = blocks("python")
    (folder / "configs/my/plain.py").write_text(config)
    (folder / "use.py").write_text(use)
    printed = ""
    for block in blocks("shell")[1:]:  # the first one installs
        block = re.sub(r"^(python tools/train.py .*)$", rf"\1 {SHORT}", block, flags=re.M)
        printed += run(block.replace("iter_1000", "iter_2"), folder)
    return folder, printed + run("python use.py", folder)


def test_classes_are_those_that_the_converter_prints(followed):
    line = 'classes = ("background", "circle", "square")'
    assert line in followed[1]
    assert line in PAGE


def test_both_models_are_validated(followed):
    for run_name in ("plain", "u2pl"):
        (scalars,) = (followed[0] / "work_dirs" / run_name).glob("*/vis_data/scalars.json")
        records = [json.loads(line) for line in scalars.read_text().splitlines()]
        assert "mIoU" in records[-1]


def test_predictions_are_masks_of_the_classes_in_the_size_of_the_photographs(followed):
    folder, printed = followed
    names = (folder / "data/mine/splits/val.txt").read_text().split()
    masks = {path.stem: np.array(Image.open(path)) for path in folder.glob("**/predictions/*.png")}
    assert sorted(masks) == sorted(names)
    assert len(names) == 3
    assert all(mask.shape == SIZE and mask.max() < 3 for mask in masks.values())
    assert printed.rstrip().endswith(f"torch.Size([1, {SIZE[0]}, {SIZE[1]}])")
