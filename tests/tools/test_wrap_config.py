"""tools/misc/wrap_config.py: what it writes for the configs that people have."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS

from datatrees import TOOLS, load_tool
from mmseg_u2pl_tools.wrapping import labeled_sets, training_sets, unlabeled_sets, wrap_with_u2pl
from plain_training import (
    PIPELINE,
    dataset,
    plain_config,
    write_config,
    write_images,
    write_list,
    write_plain,
)


@TRANSFORMS.register_module()
class InvertMask(BaseTransform):
    """A user's transform that takes a mask for granted."""

    def transform(self, results):
        results["gt_seg_map"] = 4 - results["gt_seg_map"]
        return results


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Working folder with seven images: two labeled, three unlabeled, two for validation."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    write_images(root, "abcdefg")
    for name, names in (("labeled", "ab"), ("unlabeled", "cde"), ("val", "fg")):
        write_list(root / f"{name}.txt", names)
    return root


def wrap(plain, *arguments, labeled=("data/labeled.txt",), unlabeled=("data/unlabeled.txt",)):
    """Run the tool and load what it wrote."""
    out = Path("out/wrapped.py")
    out.unlink(missing_ok=True)
    flags = ["--labeled", *labeled, *(["--unlabeled", *unlabeled] if unlabeled else [])]
    load_tool("wrap_config").main([plain, *flags, "-o", str(out), *arguments])
    return Config.fromfile(out)


def fails(capsys, match, plain, *arguments, **lists):
    with pytest.raises(SystemExit, match="2"):
        wrap(plain, *arguments, **lists)
    error = " ".join(capsys.readouterr().err.split())
    assert f"error: {match}" in error
    assert not Path("out/wrapped.py").exists()


@TRANSFORMS.register_module()
class NeedsMaskFile(BaseTransform):
    def transform(self, results):
        assert results["seg_map_path"]
        return results


def images(cfg, stream):
    """Names of the images that a stream of the written config lists."""
    semi = DATASETS.build(cfg.train_dataloader.dataset)
    datasets = getattr(semi, f"{stream}_datasets")
    infos = [ds.get_data_info(index) for ds in datasets for index in range(len(ds))]
    return [Path(info["img_path"]).stem for info in infos]


def test_written_config(root, capsys):
    plain = write_plain("plain.py", root)
    cfg = wrap(plain)
    assert cfg.model.segmentor == plain_config(root).model
    assert cfg.model.type == "U2PL"
    method = Config.fromfile(TOOLS.parent / "configs/_base_/u2pl.py")
    assert {key: cfg.model[key] for key in method.u2pl} == method.u2pl
    loader = cfg.train_dataloader
    assert (loader.batch_size, loader.num_workers) == (4, 0)
    assert loader.sampler == dict(type="DualStreamSampler")
    assert loader.dataset.labeled == dataset(root, ann_file="labeled.txt")
    assert loader.dataset.unlabeled == dict(ann_file="unlabeled.txt")
    assert images(cfg, "labeled") == ["a", "b"]
    assert images(cfg, "unlabeled") == ["c", "d", "e"]
    assert cfg.custom_hooks == [
        dict(type="DataCheckHook"),
        dict(type="MeanTeacherHook", sup_only_iters=1),
        dict(type="SemiStatisticsHook"),
        dict(type="LossCheckHook"),
    ]
    kept = plain_config(root)
    for key in ("train_cfg", "val_cfg", "val_dataloader", "test_dataloader", "test_evaluator"):
        assert cfg[key] == kept[key]
    assert cfg.optim_wrapper == kept.optim_wrapper | dict(
        constructor="StudentOptimWrapperConstructor"
    )
    said = capsys.readouterr().out
    for line in (
        "written    out/wrapped.py, which inherits from plain.py",
        f"labeled    2 images in {root}/images, masks in {root}/masks",
        f"unlabeled  3 images in {root}/images; pipeline without LoadAnnotations",
        "schedule   that of the plain config, 3 iters",
        "sup. only  the first 1 iters use",
        "batch      4 images a GPU: 2 labeled, as in the plain config, and 2 unlabeled",
        "embedding  what enters decode_head.conv_seg",
        "tried      all listed files are there",
        "train      python tools/train.py out/wrapped.py",
    ):
        assert line in said


def test_written_config_is_formatted_and_short(root):
    wrap(write_plain("plain.py", root))
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "out/wrapped.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(Path("out/wrapped.py").read_text().splitlines()) <= 21


def test_written_config_loads_from_any_folder(root, tmp_path, monkeypatch):
    wrap(write_plain("plain.py", root))
    here = Config.fromfile("out/wrapped.py").to_dict()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Config.fromfile("../out/wrapped.py").to_dict() == here
    assert '_base_ = ["../plain.py", "' in (tmp_path / "out/wrapped.py").read_text()


def test_lists_outside_the_data(root, tmp_path):
    labeled = write_list(tmp_path / "labeled.txt", "ab")
    cfg = wrap(write_plain("plain.py", root), labeled=["labeled.txt"])
    assert cfg.train_dataloader.dataset.labeled.ann_file == labeled
    assert images(cfg, "labeled") == ["a", "b"]


def test_embedding_source(root, capsys):
    cfg = wrap(write_plain("plain.py", root), "--embedding-source", "decode_head.convs")
    assert cfg.model.embedding_source == "decode_head.convs"
    assert "what enters decode_head.convs" in capsys.readouterr().out


def test_folder_of_unlabeled_images(root, tmp_path):
    """It is a place of its own, with no list: the images that no one has labeled."""
    write_images(tmp_path, "xyz", images="found")
    plain = plain_config(root)
    plain.train_dataloader.dataset.update(ann_file="val.txt", indices=1)
    write_config("plain.py", plain)
    cfg = wrap("plain.py", unlabeled=["found"])
    assert cfg.train_dataloader.dataset.unlabeled == dict(
        data_prefix=dict(img_path=str(tmp_path / "found")), ann_file="", indices=None
    )
    assert images(cfg, "labeled") == ["a", "b"]
    assert images(cfg, "unlabeled") == ["x", "y", "z"]


def test_images_of_a_folder_with_another_ending_are_warned_of(root, tmp_path, capsys):
    write_images(tmp_path, "xyz", images="found")
    (tmp_path / "found/x.jpg").rename(tmp_path / "found/x.JPG")
    plain = plain_config(root)
    plain.train_dataloader.dataset.update(ann_file="val.txt")
    write_config("plain.py", plain)
    assert images(wrap("plain.py", unlabeled=["found"]), "unlabeled") == ["y", "z"]
    assert "1 images of " in capsys.readouterr().out


def test_sup_only_twin(root, capsys):
    repeated = dict(type="RepeatDataset", times=9, dataset=dataset(root, indices=1))
    plain = plain_config(root)
    plain.train_dataloader.dataset = repeated
    write_config("plain.py", plain)
    cfg = wrap("plain.py", "--sup-only", unlabeled=())
    plain.train_dataloader.dataset = dataset(root, ann_file="labeled.txt", indices=None)
    assert cfg.to_dict() == plain.to_dict()
    said = capsys.readouterr().out
    assert "schedule   that of the plain config, 3 iters" in said
    assert "unlabeled" not in said


class TestEpochs:
    @pytest.fixture
    def plain(self, root):
        train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=2)
        return write_plain("plain.py", root, train_cfg=train_cfg)

    def test_schedule(self, plain, capsys):
        cfg = wrap(plain)
        assert cfg.train_dataloader.sampler == dict(type="DualStreamSampler", infinite=False)
        assert cfg.custom_hooks[1] == dict(type="MeanTeacherHook", sup_only_epochs=2)
        said = capsys.readouterr().out
        assert "that of the plain config, 20 epochs" in said
        assert "the first 2 epochs" in said

    def test_twin_has_as_many_steps(self, plain):
        # Three unlabeled images for two labeled ones.
        cfg = wrap(plain, "--sup-only")
        assert cfg.train_dataloader.dataset.type == "RepeatDataset"
        assert cfg.train_dataloader.dataset.times == 2
        assert cfg.train_dataloader.dataset.dataset.ann_file == "labeled.txt"

    def test_twin_needs_the_unlabeled_list(self, plain, capsys):
        fails(capsys, "--unlabeled is needed", plain, "--sup-only", unlabeled=())


class TestSeveralDataSets:
    """As VOC with its extra annotations: the same images, masks in two places."""

    @pytest.fixture
    def plain(self, root):
        write_images(root, "ab", masks="more_masks")
        config = plain_config(root)
        more = dict(img_path="images", seg_map_path="more_masks")
        members = [
            dataset(root, ann_file="train.txt"),
            dataset(root, ann_file="aug.txt", data_prefix=more),
        ]
        config.train_dataloader.dataset = dict(type="ConcatDataset", datasets=members)
        return write_config("plain.py", config)

    def test_one_list_goes_to_the_first_with_all_masks(self, plain, root):
        cfg = wrap(plain)
        assert cfg.train_dataloader.dataset.labeled.data_prefix.seg_map_path == "masks"
        assert cfg.train_dataloader.dataset.unlabeled == dict(ann_file="unlabeled.txt")
        (root / "masks/a.png").unlink()
        cfg = wrap(plain)
        assert cfg.train_dataloader.dataset.labeled.data_prefix.seg_map_path == "more_masks"
        assert images(cfg, "unlabeled") == ["c", "d", "e"]

    def test_no_data_set_has_all_masks(self, plain, root, capsys):
        (root / "masks/a.png").unlink()
        (root / "more_masks/b.png").unlink()
        message = "--labeled: no data set of the training data has the masks of all names in"
        fails(capsys, message, plain)

    def test_one_list_a_data_set(self, plain, root):
        lists = [write_list(root / f"{name}.txt", name) for name in "ab"]
        cfg = wrap(plain, labeled=lists)
        labeled = cfg.train_dataloader.dataset.labeled
        assert labeled.type == "ConcatDataset"
        assert [member.ann_file for member in labeled.datasets] == ["a.txt", "b.txt"]
        masks = [member.data_prefix.seg_map_path for member in labeled.datasets]
        assert masks == ["masks", "more_masks"]
        unlabeled = cfg.train_dataloader.dataset.unlabeled
        assert unlabeled.data_prefix == dict(img_path="images")
        assert [step.type for step in unlabeled.pipeline] == [
            *(step["type"].replace("LoadAnnotations", "MarkImagePixels") for step in PIPELINE),
            "HideGroundTruth",
        ]
        assert images(cfg, "labeled") == ["a", "b"]
        assert images(cfg, "unlabeled") == ["c", "d", "e"]

    def test_unlabeled_lists(self, plain, root):
        lists = [write_list(root / f"{name}.txt", name) for name in ("c", "de")]
        cfg = wrap(plain, unlabeled=lists)
        assert images(cfg, "unlabeled") == ["c", "d", "e"]

    def test_twin(self, plain, root):
        lists = [write_list(root / f"{name}.txt", name) for name in "ab"]
        cfg = wrap(plain, "--sup-only", labeled=lists)
        twin = DATASETS.build(cfg.train_dataloader.dataset)
        assert [Path(twin.get_data_info(i)["seg_map_path"]).parent.name for i in (0, 1)] == [
            "masks",
            "more_masks",
        ]

    def test_wrong_number_of_lists(self, plain, capsys):
        three = ["data/labeled.txt"] * 3
        fails(capsys, "--labeled: got 3 lists, and the training data are 2", plain, labeled=three)


class TestWhatPlainConfigsContain:
    """Parts of a training that must be kept, changed or left out; no model is built."""

    @staticmethod
    def written(root, plain):
        """The written config, from a plain one in memory."""
        write_config("plain.py", plain)
        method_path = TOOLS.parent / "configs/_base_/u2pl.py"
        sets = training_sets(plain)
        source = wrap_with_u2pl(
            plain,
            "plain.py",
            (str(method_path), Config.fromfile(method_path)),
            labeled_sets(sets, [str(root / "labeled.txt")]),
            unlabeled_sets(sets, [str(root / "unlabeled.txt")]),
        )
        Path("wrapped.py").write_text(source)
        return Config.fromfile("wrapped.py")

    def test_repeated_data(self, root):
        plain = plain_config(root)
        plain.train_dataloader.dataset = dict(type="RepeatDataset", times=9, dataset=dataset(root))
        cfg = self.written(root, plain)
        assert cfg.train_dataloader.dataset.labeled == dataset(root, ann_file="labeled.txt")

    def test_images_selected_from_the_plain_list(self, root):
        plain = plain_config(root)
        plain.train_dataloader.dataset = dataset(root, ann_file="val.txt", indices=1)
        cfg = self.written(root, plain)
        assert images(cfg, "labeled") == ["a", "b"]
        assert images(cfg, "unlabeled") == ["c", "d", "e"]

    def test_sampling_of_the_plain_dataloader(self, root):
        plain = plain_config(root)
        plain.train_dataloader.update(
            batch_size=1,
            sampler=dict(type="DefaultSampler", shuffle=True),
            batch_sampler=dict(type="BatchSampler"),
            num_batch_per_epoch=5,
            drop_last=True,
        )
        loader = self.written(root, plain).train_dataloader
        assert loader.sampler == dict(type="DualStreamSampler")
        assert loader.batch_sampler is loader.num_batch_per_epoch is None
        assert (loader.batch_size, loader.drop_last) == (2, True)

    def test_edges(self, root):
        edge = dict(type="GenerateEdge", edge_width=4)
        plain = plain_config(root)
        plain.train_dataloader.dataset.pipeline = [*PIPELINE[:-1], edge, PIPELINE[-1]]
        semi = DATASETS.build(self.written(root, plain).train_dataloader.dataset)
        labeled, unlabeled = semi[0]["data_samples"], semi[2]["data_samples"]
        assert "gt_edge_map" in labeled
        assert "gt_sem_seg" in labeled
        assert not set(unlabeled.keys()) & {"gt_edge_map", "gt_sem_seg"}

    def test_layer_decay(self, root):
        paramwise = dict(num_layers=12, layer_decay_rate=0.9)
        plain = plain_config(root)
        plain.optim_wrapper.update(
            constructor="LayerDecayOptimizerConstructor", paramwise_cfg=paramwise
        )
        wrapper = self.written(root, plain).optim_wrapper
        assert wrapper.constructor == "StudentOptimWrapperConstructor"
        assert wrapper.paramwise_cfg == paramwise | dict(
            constructor="LayerDecayOptimizerConstructor"
        )

    def test_scaled_learning_rate(self, root):
        plain = plain_config(root, auto_scale_lr=dict(enable=True, base_batch_size=16))
        # 16 plain images are 16 labeled ones, in batches that hold as many unlabeled ones.
        scale = self.written(root, plain).auto_scale_lr
        assert scale == dict(enable=True, base_batch_size=32)

    def test_hooks_and_imports(self, root):
        hooks = [dict(type="EmptyCacheHook"), dict(type="EMAHook", momentum=0.1)]
        plain = plain_config(
            root, custom_hooks=hooks, custom_imports=dict(imports="json", allow_failed_imports=True)
        )
        cfg = self.written(root, plain)
        kinds = [hook.type for hook in cfg.custom_hooks]
        assert kinds == [
            "EmptyCacheHook",
            "DataCheckHook",
            "MeanTeacherHook",
            "SemiStatisticsHook",
            "LossCheckHook",
        ]
        assert cfg.custom_imports.imports == ["json", "mmseg_u2pl"]
        method = Config.fromfile(TOOLS.parent / "configs/_base_/u2pl.py")
        assert {key: cfg.model[key] for key in method.u2pl} == method.u2pl

    def test_hooks_alone(self, root):
        plain = plain_config(root, custom_hooks=[dict(type="EmptyCacheHook")])
        cfg = self.written(root, plain)
        assert cfg.custom_hooks[0] == dict(type="EmptyCacheHook")
        assert cfg.custom_imports == dict(imports=["mmseg_u2pl"], allow_failed_imports=False)


def test_left_out_hooks_are_named(root, capsys):
    wrap(write_plain("plain.py", root, custom_hooks=[dict(type="EMAHook")]))
    assert "EMAHook; the teacher is an average" in capsys.readouterr().out


def test_data_on_another_machine(root, tmp_path, capsys):
    plain = write_plain("plain.py", tmp_path / "gone")
    cfg = wrap(plain)
    assert cfg.train_dataloader.dataset.labeled.ann_file == str(root / "labeled.txt")
    assert f"the data: '{tmp_path}/gone/images' is not on this machine" in capsys.readouterr().out


class TestErrors:
    def test_config(self, root, tmp_path, capsys):
        fails(capsys, "cannot read the config 'none.py'", "none.py")
        Path("broken.py").write_text("model = dict(")
        fails(capsys, "cannot read the config 'broken.py'", "broken.py")
        Path("new.py").write_text("from mmseg.models import UNet\nmodel = dict(type=UNet)\n")
        message = "cannot read the config 'new.py': The configuration file type in the inheritance"
        fails(capsys, message, "new.py")
        Path("empty.py").write_text("train_cfg = dict(max_iters=3)")
        fails(capsys, "the config 'empty.py' has no model", "empty.py")
        no_training = write_plain(tmp_path / "test.py", root, train_dataloader=None)
        fails(capsys, f"the config '{no_training}' has no train_dataloader", no_training)
        no_length = write_plain(tmp_path / "endless.py", root, train_cfg=dict(by_epoch=True))
        fails(capsys, "train_cfg has no max_epochs; set it", no_length)

    def test_wrapped_twice(self, root, capsys):
        wrap(write_plain("plain.py", root))
        Path("out/wrapped.py").rename("out/first.py")
        message = "the model of 'out/first.py' is U2PL, which has a segmentor inside"
        fails(capsys, message, "out/first.py")

    def test_existing_file_stays(self, root, capsys):
        Path("mine.py").write_text("mine")
        arguments = ["mine.py", "--labeled", "data/labeled.txt", "-o", "mine.py"]
        with pytest.raises(SystemExit, match="2"):
            load_tool("wrap_config").main(arguments)
        assert "error: mine.py exists already; remove it" in capsys.readouterr().err
        assert Path("mine.py").read_text() == "mine"

    def test_name_without_suffix(self, root, capsys):
        arguments = ["gone.py", "--labeled", "gone.txt", "-o", "mine"]
        with pytest.raises(SystemExit, match="2"):
            load_tool("wrap_config").main(arguments)
        message = "error: -o/--out: the name of a config ends in .py, got 'mine'"
        assert message in capsys.readouterr().err

    def test_lists(self, root, capsys):
        plain = write_plain("plain.py", root)
        fails(capsys, "--unlabeled is needed: a list of unlabeled images", plain, unlabeled=())
        fails(
            capsys,
            "--labeled: there is no list 'labeled.txt' in the current folder; give a path from",
            plain,
            labeled=["labeled.txt"],
        )
        lists = [write_list(root / f"{number}.txt", "a") for number in (1, 2)]
        fails(capsys, "--labeled: got 2 lists, and the training data are 1", plain, labeled=lists)
        write_list(root / "labeled.txt", ["a.jpg"])
        fails(capsys, "labeled: 2 listed files are not on disk", plain)
        write_list(root / "labeled.txt", "abc")
        fails(capsys, "1 images are both in labeled and in unlabeled", plain)

    def test_labeled_images_in_the_folder_of_unlabeled_ones(self, root, capsys):
        plain = write_plain("plain.py", root)
        with pytest.raises(SystemExit, match="2"):
            wrap(plain, unlabeled=["data/images"])
        error = capsys.readouterr().err
        assert "2 images are both in labeled and in unlabeled" in error
        assert "give a list instead; tools/misc/make_splits.py writes one" in error

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(data_root="data"), "the data set type None is not registered"),
            (dict(type="NoSuchDataset"), "the data set type 'NoSuchDataset' is not registered"),
            (
                dict(type="ClassBalancedDataset", oversample_thr=0.1, dataset=dict()),
                "the training data are wrapped in a ClassBalancedDataset, which mixes or selects",
            ),
            (dict(type="LEVIRCDDataset"), "LEVIRCDDataset is no BaseSegDataset, whose ann_file"),
        ],
    )
    def test_data_sets(self, root, capsys, changes, message):
        plain = plain_config(root)
        plain.train_dataloader.dataset = changes
        write_config("plain.py", plain)
        fails(capsys, message, "plain.py")

    def test_folder_where_a_list_is_needed(self, root, capsys):
        plain = plain_config(root)
        plain.train_dataloader.dataset.update(type="PascalVOCDataset", ann_file="labeled.txt")
        del plain.train_dataloader.dataset.metainfo  # the class has classes of its own
        write_config("plain.py", plain)
        message = "--unlabeled: PascalVOCDataset needs a list of names, got the folder"
        fails(capsys, message, "plain.py", unlabeled=["data/images"])

    def test_model(self, root, capsys):
        plain = plain_config(root)
        plain.model.decode_head.in_index = [0, 1]
        write_config("plain.py", plain)
        fails(capsys, "U2PL around this model does not build: AssertionError", "plain.py")

    def test_pipeline(self, root, capsys):
        plain = plain_config(root)
        plain.train_dataloader.dataset.pipeline = [dict(type="NoSuchTransform"), *PIPELINE]
        write_config("plain.py", plain)
        fails(capsys, "the training data do not build: KeyError", "plain.py")
        needs_masks = dict(type="NeedsMaskFile")
        plain.train_dataloader.dataset.pipeline = [*PIPELINE[:2], needs_masks, PIPELINE[-1]]
        write_config("plain.py", plain)
        fails(capsys, "the pipeline of the unlabeled images fails on", "plain.py")

    def test_number_of_classes(self, root, capsys):
        plain = plain_config(root)
        plain.model.decode_head.num_classes = 4
        write_config("plain.py", plain)
        fails(capsys, "The model has num_classes=4, the labeled data set 5 classes", "plain.py")
