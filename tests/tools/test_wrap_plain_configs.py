"""tools/misc/wrap_config.py: parts of plain configs that must be kept, changed or removed."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from datatrees import TOOLS
from mmseg_u2pl_tools.wrapping import labeled_sets, training_sets, unlabeled_sets, wrap_with_method
from plain_training import (
    PIPELINE,
    dataset,
    plain_config,
    write_config,
    write_images,
    write_list,
)
from wrapping_parts import fails, images, wrap


class TestSeveralDataSets:
    """Like VOC with its extra annotations: the same images, masks in two folders."""

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
        fails(capsys, "--labeled: got 3 lists, but the training data have 2", plain, labeled=three)


class TestWhatPlainConfigsContain:
    """Parts of a training that must be kept, changed or removed; no model is built."""

    @staticmethod
    def written(root, plain):
        """The written config, from a plain one in memory."""
        write_config("plain.py", plain)
        method_path = TOOLS.parent / "configs/_base_/methods/u2pl.py"
        sets = training_sets(plain)
        source = wrap_with_method(
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
        assert [hook.type for hook in cfg.custom_hooks] == ["EmptyCacheHook"]
        assert cfg.default_hooks.data_check.type == "DataCheckHook"
        assert cfg.custom_imports.imports == ["json", "mmseg_u2pl"]
        method = Config.fromfile(TOOLS.parent / "configs/_base_/methods/u2pl.py")
        assert {key: cfg.model[key] for key in method.method} == method.method

    def test_hooks_alone(self, root):
        plain = plain_config(root, custom_hooks=[dict(type="EmptyCacheHook")])
        cfg = self.written(root, plain)
        assert cfg.custom_hooks[0] == dict(type="EmptyCacheHook")
        assert cfg.custom_imports == dict(imports=["mmseg_u2pl"], allow_failed_imports=False)
