"""A thousand wrong configs and lists, each refused with a message that names the error."""

import inspect
import random
import traceback
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmseg_u2pl
from datatrees import write_image, write_list, write_mask
from mmseg_u2pl.checks.data import check_data
from mmseg_u2pl.datasets.lists import explain_failed_build
from mmseg_u2pl.methods import U2PL
from mmseg_u2pl.models import EMATeacher, UnreliableContrastiveHead
from mmseg_u2pl.models.projector import Projector
from tiny import NUM_CLASSES, tiny_u2pl

PACKAGE = str(Path(mmseg_u2pl.__file__).parent)
OWNERS = dict(contrastive_head=UnreliableContrastiveHead, teacher=EMATeacher, projector=Projector)
GIVEN = {"num_classes", "embed_dims", "unknown", "student", "in_channels"}
"""Arguments that are not config options."""
NOT_OURS = {"segmentor", "data_preprocessor", "train_cfg", "pretrained", "init_cfg"}
OPTIONS = [
    *((name,) for name in inspect.signature(U2PL).parameters if name not in NOT_OURS),
    *(
        (owner, name)
        for owner, kind in OWNERS.items()
        for name in inspect.signature(kind).parameters
        if name not in GIVEN
    ),
]
LETTERS = "abcdefghijklmnopqrstuvwxyz_-./: 0123456789\n'\"äß∞"


def wrong_value(rng):
    """A value that is wrong for every option."""
    return rng.choice(
        [
            lambda: "".join(rng.choices(LETTERS, k=rng.randint(1, 20))),
            lambda: -rng.randint(1, 10**9),
            lambda: -rng.random() * 10 ** rng.randint(-9, 9) - 1e-9,
            lambda: float("nan"),
            lambda: float("inf"),
            lambda: [rng.randint(-5, 5) for _ in range(rng.randint(0, NUM_CLASSES - 1))],
            lambda: [-rng.randint(0, 5)] * NUM_CLASSES,
            lambda: {rng.randint(0, 5)},
            lambda: rng.randbytes(3),
            lambda: complex(rng.random(), 1),
            object,
            lambda: abs,
        ]
    )()


@pytest.mark.parametrize("seed", range(5))
def test_wrong_options_of_the_model(seed):
    rng = random.Random(seed)
    for _ in range(100):
        path, value = rng.choice(OPTIONS), wrong_value(rng)
        options = {path[0]: value if len(path) == 1 else {path[1]: value}}
        with pytest.raises((ValueError, TypeError)) as caught:
            tiny_u2pl(**options)
        place = traceback.extract_tb(caught.value.__traceback__)[-1].filename
        assert place.startswith(PACKAGE), (path, value, place)
        assert path[-1] in str(caught.value), (path, value, str(caught.value))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name in "abcdefgh":
        write_image(root / f"images/{name}.jpg")
        write_mask(root / f"labels/{name}.png", [0, 1])
    return root


LISTS = dict(labeled=["a", "b"], unlabeled=["c", "d", "e", "f"], val=["g", "h"])


def damage(lists, rng):
    """Break one list; return a word that the message must have."""
    stream = rng.choice(sorted(lists))
    other = rng.choice(sorted(set(lists) - {stream}))
    names = lists[stream]
    place = rng.randrange(len(names))
    kind = rng.choice(["suffix", "blank", "gone", "twice", "leak", "garbage", "empty", "mask"])
    if kind == "suffix":
        names[place] += rng.choice([".jpg", ".png", ".JPG", ","])
        return names[place]
    if kind == "blank":
        names.insert(place, rng.choice(["", " ", "\t"]))
        return f"{stream}.txt"
    if kind == "gone":
        names[place] = "".join(rng.choices("xyz", k=rng.randint(1, 9)))
        return names[place]
    if kind == "twice":
        names.append(names[place])
        return names[place]
    if kind == "leak":
        names.append(lists[other][0])
        return lists[other][0]
    if kind == "garbage":
        lists[stream] = rng.randbytes(rng.randint(1, 50)).replace(b"\n", b"?")
        return f"{stream}"
    if kind == "mask":
        names[place] = f"labels/{names[place]}"
        return names[place]
    names.clear()
    return stream


def read(root):
    leaf = dict(
        type="BaseSegDataset",
        metainfo=dict(classes=("zero", "one")),
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        pipeline=[dict(type=name) for name in ("LoadImageFromFile", "LoadAnnotations")],
        serialize_data=False,  # serializing collects garbage, which is slow
    )
    train = dict(type="SemiDataset", unlabeled=dict(ann_file="unlabeled.txt"))
    train = DATASETS.build(train | dict(labeled=leaf | dict(ann_file="labeled.txt")))
    report = check_data(train, build_val(leaf | dict(ann_file="val.txt")), 2)
    if report.problems:
        raise ValueError("\n".join(report.problems))


def build_val(config):
    """Check data like tools/misc/check_data.py."""
    try:
        return DATASETS.build(config)
    except (AssertionError, ValueError, OSError):
        explain_failed_build(config, "val")
        raise


@pytest.mark.parametrize("seed", range(5))
def test_wrong_lists(root, seed):
    init_default_scope("mmseg")
    rng = random.Random(seed)
    for _ in range(100):
        lists = {name: list(names) for name, names in LISTS.items()}
        word = damage(lists, rng)
        for name, names in lists.items():
            if isinstance(names, bytes):
                (root / f"{name}.txt").write_bytes(names)
            else:
                write_list(root / f"{name}.txt", names)
        with pytest.raises(ValueError, match=r"\w") as caught:
            read(root)
        assert word in str(caught.value), (word, lists, str(caught.value))


def test_right_options_and_lists_pass(root):
    tiny_u2pl()
    for name, names in LISTS.items():
        write_list(root / f"{name}.txt", names)
    read(root)
