from pathlib import Path

import pytest
from mmseg.registry import DATASETS

from datatrees import load_tool, run_main, write_image, write_list, write_mask
from mmseg_u2pl.checks.run import last_head
from shipped_configs import load, require_packages

ROOT = Path(__file__).parents[2] / "configs"
TOOL = load_tool("check_data")

CONFIG = """
data_root = {root!r}
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
data = dict(
    type='BaseSegDataset',
    metainfo=dict(classes=('road', 'car')),
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    pipeline=pipeline,
    serialize_data=False,  # serializing collects garbage, which is slow
)
val_dataloader = dict(
    dataset=dict(data, ann_file='val.txt'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
"""
PLAIN = """
model = dict(type='EncoderDecoder', decode_head=[dict(num_classes=9), dict(num_classes=2)])
train_dataloader = dict(
    batch_size=2,
    dataset=dict(data, ann_file='labeled.txt'),
    sampler=dict(type='InfiniteSampler'),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
"""
SEMI = """
model = dict(type='U2PL', segmentor=dict(type='EncoderDecoder', decode_head=dict(num_classes=2)))
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type='SemiDataset',
        labeled=dict(data, ann_file='labeled.txt'),
        unlabeled=dict(ann_file='unlabeled.txt'),
    ),
    sampler=dict(type='DualStreamSampler'),
)
train_cfg = dict(by_epoch=False, max_iters=1)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")  # so that it is put back, whatever the tool sets
    for name in "abcdef":
        write_image(tmp_path / f"images/{name}.jpg", size=(4, 6) if name < "e" else (5, 7))
        write_mask(tmp_path / f"labels/{name}.png", [1, 0], (4, 6) if name < "e" else (5, 7))
    for name, content in (("labeled", "ab"), ("unlabeled", "cde"), ("val", "f")):
        write_list(tmp_path / f"{name}.txt", content)
    return tmp_path


def run(root: Path, config: str, *options: str) -> int:
    path = root / "config.py"
    path.write_text(CONFIG.format(root=str(root)) + config)
    return run_main(TOOL, path, *(["--cfg-options", *options] if options else []))


def rows(out: str) -> list[list[str]]:
    return [line.replace("|", " ").split() for line in out.splitlines()]


def test_good_data_with_unlabeled_images(root, capsys):
    assert run(root, SEMI) == 0
    out = capsys.readouterr().out
    assert ["labeled", "2", "2", "4x6"] in rows(out)
    assert ["unlabeled", "3", "-", "4-5", "x", "6-7", "(2", "different", "ones)"] in rows(out)
    assert ["validation", "1", "1", "5x7"] in rows(out)
    assert ["road", "2", "95.83", "1", "97.14"] in rows(out)  # 23 of 24, 34 of 35 pixels
    assert ["car", "2", "4.17", "1", "2.86"] in rows(out)
    assert out.endswith("\n0 problems, 0 warnings\n")


def test_good_data_without_unlabeled_images(root, capsys):
    assert run(root, PLAIN) == 0
    assert ["training", "2", "2", "4x6"] in rows(capsys.readouterr().out)


def test_no_validation(root, capsys):
    assert run(root, PLAIN, "val_dataloader=None") == 0
    assert "validation" not in capsys.readouterr().out


def test_all_problems_and_warnings_are_told(root, capsys):
    write_mask(root / "labels/a.png", 0)
    write_mask(root / "labels/b.png", 2)
    write_list(root / "val.txt", "fa")
    options = ("model.segmentor.decode_head.num_classes=5", "train_dataloader.batch_size=3")
    assert run(root, SEMI, *options) == 1
    out = capsys.readouterr().out
    for text in (
        "problem: The model has num_classes=5, but the labeled data set has 2 classes (road, car).",
        "problem: 1 images are both in labeled and in validation:",
        "problem: labeled: 1 of 2 masks cannot be trained on:",
        "problem: batch_size=3 is not a multiple of 2",
        "warning: labeled: no mask has a pixel of car, so",
        "4 problems, 1 warnings\n",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["model.type=U2PL"], "train_dataloader.dataset is a BaseSegDataset, but the model"),
        (["model.decode_head.1.num_classes=3"], "The model has num_classes=3"),
        (["model.decode_head.1.ignore_index=9"], "training: 1 of 2 masks cannot be trained on:"),
    ],
)
def test_model_and_data_must_fit(root, capsys, options, problem):
    write_mask(root / "labels/a.png", [1, 0, 255], (4, 6))
    assert run(root, PLAIN, *options) == 1
    assert f"problem: {problem}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("train_cfg", "problem"),
    [
        ("dict(by_epoch=True, max_epochs=1)", "problem: With EpochBasedTrainLoop, an epoch of"),
        ("dict(type='EpochBasedTrainLoop', max_epochs=1)", "problem: With EpochBasedTrainLoop"),
        ("dict(type='IterBasedTrainLoop', max_iters=1)", "0 problems"),
    ],
)
def test_loop_and_sampler_must_fit(root, capsys, train_cfg, problem):
    run(root, f"{SEMI}\ntrain_cfg = {train_cfg}\n")
    assert problem in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PLAIN.replace("labeled.txt", "gone.txt"), "training: the split list (ann_file) '"),
        (SEMI.replace("unlabeled.txt", "gone.txt"), "unlabeled: the split list (ann_file) '"),
        (SEMI.replace("'SemiDataset'", "'SemiSet'"), "KeyError: SemiSet is not in the"),
        ("model = dict(", "SyntaxError"),
        ("", "train_dataloader"),
    ],
)
def test_configs_that_cannot_be_used(root, capsys, config, message):
    assert run(root, config) == 2
    err = capsys.readouterr().err
    assert f"error: {root}/config.py: " in err
    assert message in err


def test_a_config_that_is_not_there(root, capsys):
    assert run_main(TOOL, root / "gone.py") == 2
    assert f"error: config '{root}/gone.py' does not exist" in capsys.readouterr().err


def test_data_root(root, capsys, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    (root / "config.py").write_text(CONFIG.format(root="data/nowhere") + SEMI)
    moved.symlink_to(root)
    assert run_main(TOOL, root / "config.py", "--cfg-options", f"data_root={moved}") == 0


CONFIGS = [path for kind in ("suponly", "u2pl") for path in sorted((ROOT / kind).glob("*.py"))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_num_classes_of_shipped_configs(config):
    path = str(config.relative_to(ROOT))
    require_packages(path)
    cfg = load(path)
    dataset = cfg.val_dataloader.dataset
    metainfo = dataset.get("metainfo") or DATASETS.get(dataset.type).METAINFO
    assert last_head(cfg.model).num_classes == len(metainfo["classes"])


def test_help(capsys):
    assert run_main(TOOL, "--help") == 0
    out = capsys.readouterr().out
    assert "--cfg-options" in out
    assert "--launcher" not in out
