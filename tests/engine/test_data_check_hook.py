import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import LOOPS, MODELS
from PIL import Image
from torch.utils.data import BatchSampler

from mmseg_u2pl.datasets import camvid, sampler, semi_dataset  # noqa: F401 (register)
from mmseg_u2pl.datasets.checks import DataError
from mmseg_u2pl.engine import data_check_hook
from mmseg_u2pl.engine.data_check_hook import DataCheckHook, check_run
from tiny import tiny_segmentor, tiny_u2pl

LOAD = {"type": "LoadImageFromFile"}
ANNOTATE = {"type": "LoadAnnotations"}
PACK = {"type": "PackSegInputs"}


@MODELS.register_module()
class CountingModel(BaseModel):
    """Counts its training steps."""

    def __init__(self, num_classes):
        super().__init__()
        if num_classes is not None:
            self.num_classes = num_classes
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.steps = 0

    def forward(self, inputs, data_samples, mode):
        self.steps += 1
        return {"loss": self.weight * len(inputs)}


@pytest.fixture
def root(tmp_path):
    """Seven images with masks: two labeled, three unlabeled, two for validation."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name in "abcdefg":
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
        write_mask(tmp_path, name, 10)
    for name, content in (("labeled", "ab"), ("unlabeled", "cde"), ("val", "fg")):
        write_list(tmp_path, name, content)
    return tmp_path


def write_list(root, name, images):
    (root / f"{name}.txt").write_text("".join(f"{image}\n" for image in images))


def write_mask(root, name, value):
    Image.fromarray(np.full((6, 8), value, np.uint8)).save(root / "labels" / f"{name}.png")


def dataset(root, name, **changes):
    config = {
        "type": "CamVidDataset",
        "data_root": str(root),
        "ann_file": f"{name}.txt",
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": [LOAD, ANNOTATE, PACK],
        "serialize_data": False,  # serializing collects garbage, which is slow
    }
    return {**config, **changes}


def run_config(root, num_classes=11, loop="IterBasedTrainLoop", **changes):
    semi = {
        "type": "SemiDataset",
        "labeled": dataset(root, "labeled"),
        "unlabeled": dataset(
            root, "unlabeled", data_prefix={"img_path": "images"}, pipeline=[LOAD, PACK]
        ),
    }
    length = {"max_iters": 2} if loop == "IterBasedTrainLoop" else {"max_epochs": 1}
    config = {
        "default_scope": "mmseg",
        "work_dir": str(root / "work"),
        "experiment_name": root.name,
        "model": {"type": "CountingModel", "num_classes": num_classes},
        "train_dataloader": {
            "batch_size": 4,
            "num_workers": 0,
            "dataset": semi,
            "sampler": {"type": "DualStreamSampler", "infinite": loop == "IterBasedTrainLoop"},
        },
        "train_cfg": {"type": loop, "val_begin": 100, **length},
        "val_dataloader": {
            "batch_size": 1,
            "num_workers": 0,
            "dataset": dataset(root, "val"),
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        },
        "val_cfg": {"type": "ValLoop"},
        "val_evaluator": {"type": "IoUMetric"},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
        "custom_hooks": [{"type": "DataCheckHook"}],
        "log_level": "ERROR",
    }
    config = Config(config)
    config.merge_from_dict(changes)
    return config


def built(config):
    """The parts of a runner that the checks look at; a Runner takes a second to build."""
    init_default_scope("mmseg")
    loop = LOOPS.get(config.train_cfg.type)
    train, val = (
        Runner.build_dataloader(config[f"{kind}_dataloader"]) for kind in ("train", "val")
    )
    return SimpleNamespace(
        train_loop=loop.__new__(loop),
        val_loop=object(),
        train_dataloader=train,
        val_dataloader=val,
        model=MODELS.build(config.model),
    )


def fails(config, match, error=DataError):
    with pytest.raises(error, match=match):
        check_run(built(config))


def test_training_stops_before_the_first_step(root):
    write_mask(root, "b", 11)
    runner = Runner.from_cfg(run_config(root))
    with pytest.raises(DataError, match=r"labeled: 1 of 2 masks .*\n.*b\.png: values \[11\]"):
        runner.train()
    assert isinstance(runner.train_loop, IterBasedTrainLoop)
    assert runner.model.steps == 0


@pytest.mark.parametrize("loop", ["IterBasedTrainLoop", "EpochBasedTrainLoop"])
def test_a_good_run_trains(root, loop):
    runner = Runner.from_cfg(run_config(root, loop=loop))
    runner.train()
    # Iterations: max_iters. Epoch: 3 unlabeled images, two of them in a batch of 4.
    assert runner.model.steps == 2
    assert any(isinstance(hook, DataCheckHook) for hook in runner.hooks)


def test_a_run_without_validation_and_a_model_without_class_count(root):
    config = run_config(root, num_classes=None)
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.model.steps == 2


def test_a_sliced_validation_set_is_left_out(root):
    config = run_config(root, **{"val_dataloader.num_batch_per_epoch": 1})
    write_list(root, "val", "ab")
    check_run(built(config))


class TestFindings:
    def test_masks_of_unlabeled_images_do_not_matter(self, root):
        write_mask(root, "c", 11)
        (root / "labels" / "d.png").unlink()
        check_run(built(run_config(root)))

    @pytest.mark.parametrize(
        ("gone", "stream"),
        [
            ("labels/a.png", "labeled"),
            ("images/c.jpg", "unlabeled"),
            ("labels/f.png", "validation"),
        ],
    )
    def test_missing_file(self, root, gone, stream):
        (root / gone).unlink()
        fails(run_config(root), rf"^{stream}: 1 listed files .*\n.*{gone}")

    @pytest.mark.parametrize(
        ("name", "images", "match"),
        [
            ("unlabeled", "cdeb", r"1 images are both in labeled and in unlabeled:\n.*b\.jpg"),
            ("val", "fa", r"1 images are both in labeled and in validation:\n.*a\.jpg"),
            ("val", "fe", r"1 images are both in unlabeled and in validation:\n.*e\.jpg"),
            ("labeled", "aba", r"labeled: 1 images are listed more than once:\n.*a\.jpg"),
            ("val", ["f", ""], r"validation: the split list .*val\.txt' has blank lines"),
        ],
    )
    def test_lists(self, root, name, images, match):
        write_list(root, name, images)
        fails(run_config(root), match)

    def test_number_of_classes(self, root):
        fails(run_config(root, num_classes=19), "num_classes=19, the labeled data set 11 classes")

    def test_number_of_classes_of_a_wrapped_model(self, root):
        runner = built(run_config(root, num_classes=19))
        runner.model = torch.nn.parallel.DataParallel(runner.model)
        with pytest.raises(DataError, match="num_classes=19"):
            check_run(runner)

    @pytest.mark.parametrize("cascade", [False, True])
    def test_ignored_value_of_the_decode_head(self, root, cascade):
        write_mask(root, "b", 255)
        runner = built(run_config(root))
        runner.model = tiny_u2pl(tiny_segmentor(11, ignore_index=254))
        if cascade:
            segmentor = runner.model.student.segmentor
            segmentor.decode_head = torch.nn.ModuleList(
                [torch.nn.Identity(), segmentor.decode_head]
            )
            runner.model.predict_with = "student"
        with pytest.raises(
            DataError, match=r"^labeled: masks hold 255, .* to it, 254 has no label"
        ):
            check_run(runner)


def plain_config(root, **changes):
    """A run in which all images are labeled."""
    return run_config(
        root,
        **{
            "train_dataloader.dataset": {"_delete_": True, **dataset(root, "labeled")},
            "train_dataloader.sampler": {"_delete_": True, "type": "InfiniteSampler"},
            **changes,
        },
    )


class TestWithoutUnlabeledImages:
    def test_a_good_run_trains(self, root):
        runner = Runner.from_cfg(plain_config(root))
        runner.train()
        assert runner.model.steps == 2

    def test_findings(self, root):
        write_mask(root, "b", 11)
        fails(plain_config(root), r"^training: 1 of 2 masks .*\n.*b\.png: values \[11\]")

    def test_a_model_for_both_kinds_needs_both(self, root):
        runner = built(plain_config(root))
        runner.model = tiny_u2pl()
        match = "dataset is a CamVidDataset, and the model .* Set dict.type='SemiDataset'"
        with pytest.raises(DataError, match=match):
            check_run(runner)


def test_all_problems_are_told_at_once(root):
    write_mask(root, "b", 11)
    write_mask(root, "g", 12)
    (root / "images/c.jpg").unlink()
    write_list(root, "val", "fga")
    with pytest.raises(DataError) as caught:
        check_run(built(run_config(root, num_classes=19)))
    assert [problem.split(":")[0] for problem in str(caught.value).split("\n\n")] == [
        "The model has num_classes=19, the labeled data set 11 classes (sky, building, pole, road, "
        "sidewalk, tree, sign-symbol, fence, car, pedestrian, bicyclist). Set num_classes=11 in "
        "every head of the model, or other classes in the data set's metainfo.",
        "unlabeled",
        "1 images are both in labeled and in validation",
        "labeled",
        "validation",
    ]


def test_classes_without_a_pixel_are_warned_of(root, monkeypatch):
    said = []
    monkeypatch.setattr(data_check_hook, "print_log", lambda *args: said.append(args))
    check_run(built(run_config(root)))
    ((text, logger, level),) = said
    assert text.startswith("labeled: no mask has a pixel of sky, building,")
    assert "bicyclist" not in text  # the one that all masks show
    assert (logger, level) == ("current", logging.WARNING)


@pytest.mark.parametrize(
    ("batch_size", "rules", "warns"),
    [
        (2, {}, True),
        (2, {"mixing": "classmix"}, True),
        (4, {}, False),
        (2, {"mixing": "cutout"}, False),
        (2, {"mixing_prob": 0.0}, False),
    ],
)
def test_mixing_without_a_second_image_is_warned_of(root, monkeypatch, batch_size, rules, warns):
    said = []
    monkeypatch.setattr(data_check_hook, "print_log", lambda text, *_: said.append(text))
    runner = built(run_config(root, **{"train_dataloader.batch_size": batch_size}))
    runner.model = tiny_u2pl(tiny_segmentor(11), **rules)
    check_run(runner)
    warnings = [text for text in said if "so nothing is mixed" in text]
    assert len(warnings) == warns
    assert all("train_dataloader.batch_size to 4 or more" in text for text in warnings)


class TestSampler:
    def test_other_sampler(self, root):
        other = {"_delete_": True, "type": "InfiniteSampler"}
        config = run_config(root, **{"train_dataloader.sampler": other})
        fails(config, r"sampler is a InfiniteSampler.*DualStreamSampler")

    @pytest.mark.parametrize("in_batch_sampler", [False, True])
    def test_batch_size(self, root, in_batch_sampler):
        config = run_config(root, **{"train_dataloader.batch_size": 5})
        if in_batch_sampler:
            config.train_dataloader.batch_sampler = {"type": BatchSampler, "drop_last": True}
        fails(config, r"batch_size=5 is not a multiple of 2", ValueError)

    def test_endless_epochs(self, root):
        changes = {"train_dataloader.sampler.infinite": True}
        fails(run_config(root, loop="EpochBasedTrainLoop", **changes), "never ends.*infinite=False")

    @pytest.mark.parametrize("drop_last", [False, True])
    def test_epochs_without_a_step(self, root, drop_last):
        changes = {"train_dataloader.batch_size": 8, "train_dataloader.drop_last": drop_last}
        config = run_config(root, loop="EpochBasedTrainLoop", **changes)
        if drop_last:
            fails(config, "An epoch is 6 images of each process, .* batch_size=8 it has no step")
        else:
            check_run(built(config))

    def test_ending_iterations(self, root):
        changes = {"train_dataloader.sampler.infinite": False}
        fails(run_config(root, **changes), "restarts the workers.*infinite=True")


class TestRanks:
    """Rank 0 checks and tells the others; every rank takes part in the broadcast."""

    @staticmethod
    def before_train(monkeypatch, rank, finding, received=None):
        sent = []

        def broadcast(message):
            sent.append(list(message))
            if rank != 0:
                message[0] = received

        def check(runner):
            assert rank == 0, "only rank 0 reads files"
            if finding is not None:
                raise finding

        monkeypatch.setattr(data_check_hook, "is_main_process", lambda: rank == 0)
        monkeypatch.setattr(data_check_hook, "broadcast_object_list", broadcast)
        monkeypatch.setattr(data_check_hook, "check_run", check)
        try:
            DataCheckHook().before_train(runner=None)
        finally:
            assert len(sent) == 1
        return sent[0]

    def test_nothing_found(self, monkeypatch):
        assert self.before_train(monkeypatch, 0, None) == [None]
        assert self.before_train(monkeypatch, 1, None) == [None]

    @pytest.mark.parametrize("finding", [DataError("bad mask"), OSError("disk gone")])
    def test_rank_0_raises_what_it_found(self, monkeypatch, finding):
        with pytest.raises(type(finding), match=str(finding)):
            self.before_train(monkeypatch, 0, finding)

    def test_other_ranks_raise_what_they_were_told(self, monkeypatch):
        with pytest.raises(DataError, match="bad mask"):
            self.before_train(monkeypatch, 1, None, received="bad mask")
