import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmengine.utils import scandir
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from rich.console import Console

from datatrees import load_tool
from mmseg_u2pl.visualization import UNRELIABLE_COLOR
from scenes import CLASSES
from tiny import tiny_segmentor

NUM_CLASSES = len(CLASSES)
DATA = ["--num-train", "32", "--num-val", "8", "--size", "64", "--seed", "3"]
SHORT = ["train_cfg.max_iters=4", "train_cfg.val_interval=4", "optim_wrapper.optimizer.lr=0.1"]
SHORT += ["train_dataloader.batch_size=4"]
SHORT += [
    f"{loader}_dataloader.{option}"
    for loader in ("train", "val")
    for option in ("num_workers=0", "persistent_workers=False")
]


@pytest.fixture
def demo():
    return load_tool("demo")


@pytest.fixture
def tiny_demo(demo, tmp_path, monkeypatch):
    """The demo with its own configs but small models, in an empty folder."""
    segmentor = tiny_segmentor(NUM_CLASSES)
    segmentor["data_preprocessor"]["size"] = (128, 128)  # crop size of the pipeline
    semi = dict(
        type="U2PL",
        segmentor=segmentor,
        projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
        contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=50),
    )
    hooks = dict(mean_teacher=dict(sup_only_iters=2), logger=dict(interval=1))
    for name, model in dict(SUP_ONLY=segmentor, SEMI=semi).items():
        config = tmp_path / f"{name}.py"
        model = dict(_delete_=True, **model)
        text = f"_base_ = {str(getattr(demo, name))!r}\nmodel = {model!r}\n"
        config.write_text(text + f"default_hooks = {hooks!r}\n" * (name == "SEMI"))
        monkeypatch.setattr(demo, name, config)
    monkeypatch.chdir(tmp_path)
    return demo


def validation_set(root):
    names = (root / "ImageSets/Segmentation/val.txt").read_text().split()
    images = [np.asarray(Image.open(root / f"JPEGImages/{name}.jpg")) for name in names]
    masks = [np.asarray(Image.open(root / f"SegmentationClass/{name}.png")) for name in names]
    return images, np.stack(masks)


def trained_model(folder):
    """The model as the run left it on disk."""
    (config,) = folder.glob("*.py")
    model = MODELS.build(Config.fromfile(config).model)
    (checkpoint,) = folder.glob("*.pth")
    model.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict"])
    return model.eval()


def predicted_labels(model, images):
    bgr = [torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1) for image in images]
    samples = [
        SegDataSample(metainfo=dict(ori_shape=i.shape[:2], img_shape=i.shape[:2])) for i in images
    ]
    with torch.no_grad():
        predictions = model.test_step(dict(inputs=bgr, data_samples=samples))
    return torch.cat([sample.pred_sem_seg.data for sample in predictions]).numpy()


def slow_iou(labels, masks):
    """IoU in percent from the full confusion matrix."""
    confusion = np.zeros((NUM_CLASSES, NUM_CLASSES))
    np.add.at(confusion, (masks.ravel(), labels.ravel()), 1)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return 100 * np.diag(confusion) / union


def table_rows(text):
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_demo_end_to_end(tiny_demo, tmp_path, capsys):
    tiny_demo.main([*DATA, "--cfg-options", *SHORT])
    out = capsys.readouterr().out
    folder = tmp_path / "work_dirs/demo"
    results = json.loads((folder / "results.json").read_text())
    images, masks = validation_set(tmp_path / "data/builtin-seed3")
    semi = trained_model(folder / "u2pl")
    expected = {
        "sup-only": slow_iou(predicted_labels(trained_model(folder / "sup-only"), images), masks)
    }
    for role in ("student", "teacher"):
        semi.predict_with = role
        expected[role] = slow_iou(predicted_labels(semi, images), masks)
    for one, other in combinations(expected.values(), 2):
        assert np.nanmax(abs(one - other)) > 0.1, "too alike to tell whether they are mixed up"

    # Written files.
    written = {
        "sup-only": (results["sup_only"]["mIoU"], results["sup_only"]["per_class"]),
        "student": (results["u2pl"]["student_mIoU"], results["u2pl"]["student_per_class"]),
        "teacher": (results["u2pl"]["mIoU"], results["u2pl"]["per_class"]),
    }
    for name, (mean, per_class) in written.items():
        assert mean == pytest.approx(np.nanmean(expected[name]), abs=0.02)
        assert list(per_class) == list(CLASSES)
        assert list(per_class.values()) == pytest.approx(expected[name].tolist(), abs=0.02)
    gain = np.nanmean(expected["teacher"]) - np.nanmean(expected["sup-only"])
    assert results["gain"] == pytest.approx(gain, abs=0.02)
    assert results["seed"] == 3
    assert list(results["seconds"]) == ["data", "sup_only", "u2pl", "total"]
    assert results["seconds"]["total"] >= results["seconds"]["u2pl"] > 0

    # MMSegmentation's log of the last validation.
    (scalars,) = (folder / "u2pl").glob("*/vis_data/scalars.json")
    logged = json.loads(scalars.read_text().splitlines()[-1])
    assert logged["mIoU"] == pytest.approx(results["u2pl"]["mIoU"], abs=0.011)
    assert logged["student/mIoU"] == pytest.approx(results["u2pl"]["student_mIoU"], abs=0.011)

    # Printed output.
    rows = table_rows(out)
    assert rows.pop("class") == ["sup-only", "u2pl student", "u2pl teacher", "gain"]
    assert list(rows) == [*CLASSES, "mean"]
    assert rows["mean"] == [
        *(f"{mean:.2f}" for mean, _ in written.values()),
        f"{results['gain']:+.2f}",
    ]
    for name in CLASSES:
        values = [per_class[name] for _, per_class in written.values()]
        gain = values[2] - values[0]
        assert rows[name] == [*(f"{value:.2f}" for value in values), f"{gain:+.2f}"]
    assert "u2pl  4/4  ETA 0:00:00  loss" in out
    assert "work_dirs/demo/results.json" in out
    assert "work_dirs/demo/comparison.png" in out

    # The picture: five columns, six scenes, and a fifth of the last column unreliable.
    picture = np.asarray(Image.open(folder / "comparison.png").convert("RGB"))
    assert picture.shape == (6 * 260 + 120, 5 * 260, 3)
    gray = (picture[:-40, 4 * 260 :] == UNRELIABLE_COLOR).all(-1).sum() / (6 * 260**2)
    assert 0.18 < gray < 0.21

    # A second run reuses the data; one checkpoint and one log per run remain.
    assert len(list(scandir(str(folder), ".pth", recursive=True))) == 2
    logs = list((folder).glob("*/*/*.log"))
    assert len(logs) == 2
    assert all("mIoU" in log.read_text() for log in logs)


def test_another_method(tiny_demo, tmp_path, capsys):
    tiny_demo.main([*DATA, "--method", "cps", "--cfg-options", *SHORT])
    folder = tmp_path / "work_dirs/demo"
    results = json.loads((folder / "results.json").read_text())
    model = trained_model(folder / "cps")
    assert type(model).__name__ == "CPS"
    images, masks = validation_set(tmp_path / "data/builtin-seed3")
    for role, key in (("first", "mIoU"), ("second", "second_mIoU")):
        model.predict_with = role
        mean = np.nanmean(slow_iou(predicted_labels(model, images), masks))
        assert results["cps"][key] == pytest.approx(mean, abs=0.02)
    (scalars,) = (folder / "cps").glob("*/vis_data/scalars.json")
    assert json.loads(scalars.read_text().splitlines()[-2])["unsup.loss_second"] > 0
    header = table_rows(capsys.readouterr().out)["class"]
    assert header == ["sup-only", "cps second", "cps first", "gain"]


@pytest.fixture
def fake_runner():
    """Two images of 2 x 2 pixels with fixed predictions; class 'c' does not occur."""
    label = [torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [255, 0]])]
    predicted = [torch.tensor([[0, 1], [1, 1]]), torch.tensor([[0, 0], [0, 0]])]
    samples = []
    for truth, guess in zip(label, predicted, strict=True):
        data = dict(
            gt_sem_seg=PixelData(data=truth[None]), pred_sem_seg=PixelData(data=guess[None])
        )
        samples.append(SegDataSample(**data))

    class Loader(list):
        dataset = SimpleNamespace(metainfo=dict(classes=("a", "b", "c")))

    model = SimpleNamespace(eval=lambda: None, val_step=lambda batch: [samples[i] for i in batch])
    return SimpleNamespace(model=model, val_dataloader=Loader([[0], [1]]))


def test_evaluate_counts_over_all_images(demo, fake_runner):
    # a: 3 of the 5 pixels that are or are called a; b: 2 of 4; the ignored pixel does not count.
    score = demo.evaluate(fake_runner)
    assert score.per_class == {"a": 60.0, "b": 50.0, "c": None}
    assert score.mean == 55.0


def test_table_marks_what_has_no_value(demo, capsys):
    scores = dict(
        one=demo.Score(30.0, {"a": 30.0, "b": None}),
        two=demo.Score(35.25, {"a": 30.5, "b": 40.0}),
        three=demo.Score(36.5, {"a": 29.0, "b": 44.0}),
    )
    Console().print(demo.make_table(scores, ascii_only=True))
    rows = table_rows(capsys.readouterr().out)
    assert rows["a"] == ["30.00", "30.50", "29.00", "-1.00"]
    assert rows["b"] == ["-", "40.00", "44.00", "-"]
    assert rows["mean"] == ["30.00", "35.25", "36.50", "+6.50"]


def test_stopped_demo_leaves_earlier_results_alone(demo, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "make_data", lambda args: None)
    monkeypatch.setattr(demo, "train", stop)
    earlier = tmp_path / "results.json"
    earlier.write_text("{}")
    with pytest.raises(SystemExit, match="130"):
        demo.main(["--work-dir", str(tmp_path)])
    assert "no results were written" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    assert earlier.read_text() == "{}"


def test_other_data_in_the_folder_is_refused(demo, tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--data-root", str(tmp_path)])
    assert "choose another folder" in capsys.readouterr().err
