"""tools/misc/predict_unlabeled.py on small images, with known predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from datatrees import keep_columns, load_tool, run_main, write_image, write_mask, write_sideways
from every_method import METHODS, method
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools import ranking

tool = load_tool("predict_unlabeled")
predict_with_model = tool.predict
MODEL = SimpleNamespace(num_classes=2, predict_with="teacher")

LOAD = dict(type="LoadImageFromFile")
PACK = dict(type="PackSegInputs")
NAMES = ("a", "b", "c", "d")


def predict(
    model: object, leaves: Sequence[BaseSegDataset], cfg: Config
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predict class 1 where an image is bright, with uncertainty only in its top row."""
    for leaf in leaves:
        for index in range(len(leaf)):
            label = (mmcv.imread(leaf.get_data_info(index)["img_path"])[..., 0] > 128) * 1
            level = np.zeros(label.shape, np.uint16)
            level[0] = tool.LEVELS - 1
            yield label.astype(np.uint8), level


@pytest.fixture(autouse=True)
def teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tool use :func:`predict` instead of a checkpoint."""
    monkeypatch.setattr(tool, "require_checkpoint", lambda path: None)
    monkeypatch.setattr(tool, "init_model", lambda *args, **kwargs: MODEL)
    monkeypatch.setattr(tool, "predict", predict)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with a labeled image, and with unlabeled ones whose lower half is bright."""
    write_image(tmp_path / "labeled/images/x.jpg", (40, 60))
    write_mask(tmp_path / "labeled/masks/x.png", [0, 1], (40, 60))
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[20:] = 255
    (tmp_path / "unlabeled").mkdir()
    for name in NAMES:
        Image.fromarray(picture).save(tmp_path / f"unlabeled/{name}.jpg")
    return tmp_path


def run(
    root: Path,
    metainfo: dict[str, Any],
    unlabeled: dict[str, Any],
    reduce_zero_label: bool = False,
    kind: str = "BaseSegDataset",
    flags: Sequence[str] = (),
) -> Path:
    """Run the tool.

    Args:
        root: Working folder.
        metainfo: Metainfo of the labeled data set.
        unlabeled: Options of the unlabeled data set in addition to its images.
        reduce_zero_label: Option of the labeled data set.
        kind: Type of the labeled data set.
        flags: Further flags of the tool.

    Returns:
        The folder of the output.
    """
    labeled = dict(
        type=kind,
        data_prefix=dict(img_path=f"{root}/labeled/images", seg_map_path=f"{root}/labeled/masks"),
        metainfo=metainfo,
        reduce_zero_label=reduce_zero_label,
        pipeline=[LOAD, dict(type="LoadAnnotations"), PACK],
    )
    plain = dict(
        type="BaseSegDataset",
        data_prefix=dict(img_path=f"{root}/unlabeled"),
        pipeline=[LOAD, PACK],
    )
    dataset = dict(type="SemiDataset", labeled=labeled, unlabeled=plain | unlabeled)
    config = root / "config.py"
    config.write_text(
        "model = dict(type='U2PL')\n"
        f"train_dataloader = dict(dataset={dataset!r})\n"
        f"test_dataloader = dict(dataset=dict(pipeline={[LOAD, PACK]!r}))\n"
    )
    out = root / "out"
    tool.main([str(config), "unread.pth", "--out", str(out), "--unreliable-share", "0.1", *flags])
    return out


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@DATASETS.register_module()
class FourClasses(BaseSegDataset):
    METAINFO: ClassVar = dict(classes=("road", "car", "tree", "sky"), palette=[[9, 9, 9]] * 4)


PETS = dict(classes=("cat", "dog"), palette=[[200, 0, 0], [0, 200, 0]])


@pytest.mark.parametrize("first", [0, 1], ids=["classes from 0", "reduce_zero_label"])
@pytest.mark.parametrize(
    "unlabeled",
    [
        dict(),
        dict(metainfo=dict(classes=("thing",), palette=[[1, 2, 3]])),
        dict(metainfo=PETS, reduce_zero_label=True),
    ],
    ids=["no metainfo", "other classes", "reduce_zero_label of its own"],
)
def test_classes_are_those_of_the_labeled_data_set(
    root: Path, unlabeled: dict[str, Any], first: int
) -> None:
    out = run(root, PETS, unlabeled, reduce_zero_label=bool(first))
    for name in NAMES:
        mask = read(out / f"SegmentationClass/{name}.png")
        assert (mask[0] == 255).all()
        assert (mask[1:20] == first).all()
        assert (mask[20:] == first + 1).all()
    assert (out / "labelmap.txt").read_text().splitlines()[1:] == [
        "background:0,0,0::",
        "cat:200,0,0::",
        "dog:0,200,0::",
    ]


@pytest.mark.parametrize("shift", [0, 1], ids=["values from 0", "reduce_zero_label"])
def test_masks_load_again_as_what_was_predicted(root: Path, shift: int) -> None:
    """Also with a subset of a data set's classes, in another order."""
    chosen = dict(metainfo=dict(classes=("sky", "car")), reduce_zero_label=bool(shift))
    out = run(root, chosen["metainfo"], dict(), bool(shift), kind="FourClasses")
    names = FourClasses.METAINFO["classes"]
    mask = read(out / f"SegmentationClass/{NAMES[0]}.png")
    assert set(np.unique(mask)) == {names.index("sky") + shift, names.index("car") + shift, 255}
    prefix = dict(img_path=str(root / "unlabeled"), seg_map_path=str(out / "SegmentationClass"))
    again = FourClasses(data_prefix=prefix, pipeline=[dict(type="LoadAnnotations")], **chosen)
    loaded = again[0]["gt_seg_map"]
    assert (loaded[0] == 255).all()
    assert (loaded[1:20] == 0).all()
    assert (loaded[20:] == 1).all()


def test_images_that_cannot_be_read_stop_it_before_the_first_mask(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / f"unlabeled/{NAMES[0]}.jpg").write_text("no image")
    with pytest.raises(SystemExit):
        run(root, PETS, dict())
    assert f"{NAMES[0]}.jpg" in capsys.readouterr().err
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    "metainfo",
    [
        dict(classes=("background", "cat")),
        dict(classes=("cat", "dog"), palette=[[200, 0, 0], [200, 0, 0]]),
        dict(classes=("floor", "cat"), palette=[[9, 9, 9], [0, 0, 0]]),
    ],
    ids=["no palette", "two of one color", "one is black"],
)
def test_cvats_converter_reads_masks_of_any_palette(root: Path, metainfo: dict[str, Any]) -> None:
    first = 0 if "background" in metainfo["classes"] else 1
    out = run(root, metainfo, dict())
    write_image(root / "unlabeled/later.jpg")  # the converter wants one without a mask
    converted = root / "converted"
    converter = load_tool("dataset_converters/cvat")
    assert run_main(converter, out, root / "unlabeled", converted) == 0
    for name in NAMES:
        mask = read(converted / f"masks/{name}.png")
        assert (mask[0] == 0).all()  # unreliable, so as if nobody had drawn them
        assert (mask[1:20] == first).all()
        assert (mask[20:] == first + 1).all()


def test_a_network_that_the_method_lacks_is_refused_before_anything_is_written(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(root, PETS, dict(), flags=["--from", "pupil"])
    assert "teacher, student, but none called 'pupil'" in capsys.readouterr().err
    assert not (root / "out").exists()


@torch.no_grad()
@pytest.mark.parametrize("name", METHODS)
def test_every_method_predicts(root: Path, name: str) -> None:
    model = method(name).eval()
    prefix = dict(img_path=str(root / "unlabeled"))
    leaf = BaseSegDataset(data_prefix=prefix, metainfo=PETS, pipeline=[LOAD, PACK], test_mode=True)
    cfg = Config(dict(test_dataloader=dict(num_workers=0)))
    predictions = list(predict_with_model(model, [leaf], cfg))
    assert len(predictions) == len(NAMES)
    for index, (label, level) in enumerate(predictions):
        sample = leaf[index]
        batch = dict(inputs=[sample["inputs"]], data_samples=[sample["data_samples"]])
        (expected,) = model.test_step(batch)
        np.testing.assert_array_equal(label, expected.pred_sem_seg.data[0].numpy())
        prob = expected.seg_logits.data.double().softmax(0)
        entropy = -(prob * prob.log()).sum(0) / np.log(len(prob))
        np.testing.assert_allclose(level / (tool.LEVELS - 1), entropy.numpy(), atol=1e-4)


class CountingName(str):
    """A name that counts how often one is compared with another."""

    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountingName.comparisons += 1
        return str.__eq__(self, other)


def test_names_are_not_compared_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [CountingName(number) for number in range(300)]
    leaf = SimpleNamespace(get_data_info=lambda index: dict(img_path=f"{index}.jpg"))
    monkeypatch.setattr(tool, "image_names", lambda leaf: names)
    monkeypatch.setattr(CountingName, "comparisons", 0)
    images = tool.list_images([leaf])
    assert CountingName.comparisons < len(names)
    assert [(image.name, image.path) for image in images] == [(n, f"{n}.jpg") for n in names]
    with pytest.raises(DataError, match="300 names belong to two images, such as 0, "):
        tool.list_images([leaf, leaf])


def test_photographs_are_shown_upright(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = keep_columns(ranking, monkeypatch)
    picture = np.zeros((60, 40, 3), np.uint8)
    picture[30:] = 255
    for name in NAMES:
        write_sideways(root / f"unlabeled/{name}.jpg", picture)
    out = run(root, PETS, dict())
    assert read(out / f"SegmentationClass/{NAMES[0]}.png").shape == (60, 40)
    images = columns["least reliable"]
    assert images.shape == (2, 390, 260, 3)
    assert images[:, :180].max() < 64
    assert images[:, 210:].min() > 192
