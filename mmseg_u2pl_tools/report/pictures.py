"""The validation images on which a run gains and loses most against another."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint
from mmseg.apis import init_model
from mmseg.registry import DATASETS
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl.utils.progress import track
from mmseg_u2pl_tools.errors import UsageError, config_errors
from mmseg_u2pl_tools.gains import PIXELS, Scenes, choose, paint_scene, score
from mmseg_u2pl_tools.report.runs import RunRecord

_WIDTH = 320  # pixels of a picture
_JPEG_QUALITY = 80


def compare_images(base: RunRecord, run: RunRecord, num_images: int, device: str) -> str:
    """Predict the validation images with the last checkpoints of two runs and show the extremes.

    Args:
        base: The run to compare with, whose validation images are used.
        run: The run.
        num_images: Number of images with gains, and of images with losses.
        device: Device that the networks run on.

    Returns:
        HTML.

    Raises:
        UsageError: A checkpoint or data are missing, or the validation images differ.
        ValueError: Predictions do not fit the masks.
    """
    with TemporaryDirectory() as scratch:
        folders = [Path(scratch) / "base", Path(scratch) / "run"]
        configs = [
            _predict(record, folder, device)
            for record, folder in zip((base, run), folders, strict=True)
        ]
        names = [{path.name for path in folder.iterdir()} for folder in folders]
        if names[0] != names[1]:
            raise UsageError(
                f"--images needs the same validation images in both runs, but "
                f"{len(names[0] ^ names[1])} are only in '{base.work_dir}' or '{run.work_dir}'"
            )
        dataset = DATASETS.build(configs[0].val_dataloader.dataset)
        scenes = Scenes(dataset, folders)
        right = score(scenes, dataset.ignore_index).right
        titles = ["image", "ground truth", base.name, run.name, "pixels"]
        rows = []
        for index in (index for part in choose(right, num_images) for index in part):
            scene = scenes[index]
            before, after = 100 * right[index]
            caption = f"{Path(scene.path).name}: {before:.2f} → {after:.2f} % of pixels correct"
            pictures = paint_scene(scene, dataset.metainfo["palette"], dataset.ignore_index)
            rows.append(_row(caption, titles, pictures))
    colors = dict(zip(dataset.metainfo["classes"], dataset.metainfo["palette"], strict=True))
    return f'{_key(colors)}{_key(PIXELS)}<div class="scenes">{"".join(rows)}</div>'


def _predict(run: RunRecord, folder: Path, device: str) -> Config:
    """Write a PNG with labels for each validation image, as tools/test.py --out does."""
    folder.mkdir()
    files = sorted(run.work_dir.glob("*/vis_data/config.py"))
    if not files:
        raise UsageError(f"'{run.work_dir}' has no */vis_data/config.py, which --images needs")
    config = str(files[-1])
    with config_errors(config):
        cfg = Config.fromfile(config)
        init_default_scope(cfg.get("default_scope", "mmseg"))
        model = init_model(cfg, _last_checkpoint(run.work_dir), device=device)
        loader = Runner.build_dataloader(cfg.val_dataloader)
    shift = int(getattr(loader.dataset, "reduce_zero_label", False))
    for batch in track(loader, f"Predicting with {run.name}"):
        for sample in model.test_step(batch):
            label = sample.pred_sem_seg.data[0].cpu().numpy() + shift
            name = Path(sample.img_path).with_suffix(".png").name
            Image.fromarray(label.astype(np.uint8)).save(folder / name)
    return cfg


def _last_checkpoint(work_dir: Path) -> str:
    """The last checkpoint, looked up in the run's folder, which may have been moved."""
    if not (work_dir / "last_checkpoint").is_file():
        raise UsageError(f"'{work_dir}' has no checkpoint, which --images needs")
    written = Path(find_latest_checkpoint(str(work_dir)))
    here = work_dir / written.name
    if not (written.exists() or here.exists()):
        raise UsageError(f"the last checkpoint of '{work_dir}', '{written}', does not exist")
    return str(here if here.exists() else written)


def _row(caption: str, titles: Sequence[str], pictures: Sequence[NDArray[np.uint8]]) -> str:
    cells = []
    for title, picture in zip(titles, pictures, strict=True):
        source = _data_url(picture, photo=title == "image")
        cells.append(f'<div><span>{escape(title)}</span><img src="{source}" alt=""></div>')
    head = f"<figcaption>{escape(caption)}</figcaption>"
    return f'<figure>{head}<div class="scene">{"".join(cells)}</div></figure>'


def _data_url(picture: NDArray[np.uint8], *, photo: bool) -> str:
    image = Image.fromarray(picture)
    if image.width > _WIDTH:
        height = round(image.height * _WIDTH / image.width)
        resampling = Image.Resampling.LANCZOS if photo else Image.Resampling.NEAREST
        image = image.resize((_WIDTH, height), resampling)
    file = BytesIO()
    if photo:
        image.save(file, format="JPEG", quality=_JPEG_QUALITY)
    else:
        image.quantize().save(file, format="PNG", optimize=True)
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def _key(colors: dict[str, Any]) -> str:
    entries = [
        f'<span><i style="background:rgb{tuple(color)}"></i>{escape(name)}</span>'
        for name, color in colors.items()
    ]
    return f'<div class="key">{"".join(entries)}</div>'
