import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_u2pl.datasets.camvid import CamVidDataset  # noqa: F401 (registers)
from mmseg_u2pl.datasets.draws import Draw
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset

LOAD = {"type": "LoadImageFromFile"}
ANNOTATE = {"type": "LoadAnnotations"}
PACK = {"type": "PackSegInputs"}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    """Seven images, of which the first two have masks."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for index, name in enumerate("abcdefg"):
        image = np.full((6, 8, 3), index, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.jpg")
        if name in "ab":
            Image.fromarray(np.full((6, 8), index, np.uint8)).save(
                tmp_path / "labels" / f"{name}.png"
            )
    (tmp_path / "labeled.txt").write_text("a\nb\n")
    (tmp_path / "unlabeled.txt").write_text("c\nd\ne\nf\ng\n")
    return tmp_path


def labeled(root, **changes):
    config = {
        "type": "CamVidDataset",
        "data_root": str(root),
        "ann_file": "labeled.txt",
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": [LOAD, ANNOTATE, PACK],
        "serialize_data": False,  # serializing collects garbage, which is slow
    }
    return {**config, **changes}


def unlabeled(root, **changes):
    config = {
        "ann_file": "unlabeled.txt",
        "data_prefix": {"img_path": "images"},
        "pipeline": [LOAD, PACK],
    }
    return labeled(root, **{**config, **changes})


def names(dataset):
    return [dataset.get_data_info(i)["img_path"].rsplit("/", 1)[1] for i in range(len(dataset))]


def test_labeled_images_come_first_and_only_they_have_ground_truth(root):
    dataset = SemiDataset(labeled(root), unlabeled(root))
    assert (len(dataset), dataset.num_labeled, dataset.num_unlabeled) == (7, 2, 5)
    assert names(dataset) == [f"{name}.jpg" for name in "abcdefg"]
    samples = [dataset[index]["data_samples"] for index in range(7)]
    assert ["gt_sem_seg" in sample for sample in samples] == [True] * 2 + [False] * 5
    assert samples[1].gt_sem_seg.data.unique().tolist() == [1]


def test_hidden_masks_of_unlabeled_images_are_no_ground_truth(root):
    for name in "cdefg":
        Image.fromarray(np.ones((6, 8), np.uint8)).save(root / "labels" / f"{name}.png")
    more = dict(ann_file="unlabeled.txt", score_pseudo_labels=True)
    dataset = SemiDataset(labeled(root), more)
    first, last = dataset[0]["data_samples"], dataset[len(dataset) - 1]["data_samples"]
    assert "gt_sem_seg" in first
    assert "hidden_sem_seg" not in first
    assert "gt_sem_seg" not in last
    assert last.hidden_sem_seg.data.shape == first.gt_sem_seg.data.shape


def test_masks_of_unlabeled_images_are_never_opened(root, monkeypatch):
    for name in "cdefg":
        Image.fromarray(np.ones((6, 8), np.uint8)).save(root / "labels" / f"{name}.png")
    dataset = SemiDataset(labeled(root), dict(ann_file="unlabeled.txt"))
    opened, plain_open = [], open

    def recording(file, *args, **kwargs):
        opened.append(str(file))
        return plain_open(file, *args, **kwargs)

    monkeypatch.setattr("builtins.open", recording)
    for index in range(7):
        dataset[index]

    kinds = {kind: {p[-5] for p in opened if f"/{kind}/" in p} for kind in ("images", "labels")}
    assert kinds == {"images": set("abcdefg"), "labels": set("ab")}


def test_streams_may_be_built_data_sets(root):
    streams = DATASETS.build(labeled(root)), DATASETS.build(unlabeled(root))
    dataset = SemiDataset(*streams)
    assert dataset.labeled_datasets == [streams[0]]
    assert dataset.unlabeled_datasets == [streams[1]]


def test_a_stream_may_be_a_concatenation_of_lazy_data_sets(root):
    (root / "second.txt").write_text("g\nf\n")
    first = unlabeled(root, indices=2, lazy_init=True)
    both = {"type": "ConcatDataset", "datasets": [first, unlabeled(root, ann_file="second.txt")]}
    dataset = SemiDataset(labeled(root), both)
    assert (dataset.num_labeled, dataset.num_unlabeled) == (2, 4)
    assert [name[0] for name in names(dataset)] == ["a", "b", "c", "d", "g", "f"]
    assert [len(part) for part in dataset.unlabeled_datasets] == [2, 2]


def test_unlabeled_images_need_no_class_names(root):
    dataset = SemiDataset(labeled(root), unlabeled(root, type="BaseSegDataset"))
    assert dataset.metainfo["classes"][3] == "road"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_of_a_real_dataloader(root, num_workers):
    loader = Runner.build_dataloader(
        {
            "batch_size": 4,
            "num_workers": num_workers,
            "dataset": {
                "type": "mmseg.SemiDataset",
                "labeled": labeled(root, serialize_data=True),
                "unlabeled": unlabeled(root, serialize_data=True),
            },
            "sampler": {"type": "mmseg.DualStreamSampler", "infinite": False},
        },
        seed=0,
    )
    assert isinstance(loader.sampler, DualStreamSampler)
    assert loader.sampler.seed == 0
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    seen = []
    for batch, size in zip(batches, (4, 4, 2), strict=True):
        has_truth = ["gt_sem_seg" in sample for sample in batch["data_samples"]]
        assert has_truth == [True, False] * (size // 2)
        for sample, truth in zip(batch["data_samples"], has_truth, strict=True):
            name = sample.img_path.rsplit("/", 1)[1][0]
            assert (name in "ab") == truth
            seen.append(name)
    assert sorted(seen[1::2]) == list("cdefg")  # one pass of the larger stream
    assert [seen.count(name) for name in "ab"] in ([3, 2], [2, 3])


class TestUnlabeledPipeline:
    @pytest.mark.parametrize(
        "step",
        [
            ANNOTATE,
            {"type": "RandomApply", "transforms": [ANNOTATE], "prob": 0.5},
            {"type": "RandomChoice", "transforms": [[LOAD], [LOAD, ANNOTATE]]},
        ],
    )
    def test_annotations_are_refused_also_in_wrappers(self, root, step):
        with pytest.raises(DataError, match="unlabeled: the pipeline has LoadAnnotations"):
            SemiDataset(labeled(root), unlabeled(root, pipeline=[LOAD, step, PACK]))

    def test_edges_are_refused(self, root):
        pipeline = [LOAD, {"type": "GenerateEdge"}, PACK]
        with pytest.raises(DataError, match="unlabeled: the pipeline has GenerateEdge"):
            SemiDataset(labeled(root), unlabeled(root, pipeline=pipeline))

    def test_a_crop_that_looks_at_classes_is_refused(self, root):
        crop = {"type": "RandomCrop", "crop_size": (4, 4), "cat_max_ratio": 0.75}
        with pytest.raises(DataError, match=r"RandomCrop with cat_max_ratio=0\.75 needs"):
            SemiDataset(labeled(root), unlabeled(root, pipeline=[LOAD, crop, PACK]))

    @pytest.mark.parametrize(
        "step",
        [
            {"type": "Pad", "size": (8, 8)},
            {"type": "RandomRotate", "prob": 0.5, "degree": 10},
            {"type": "RandomRotFlip"},
            {"type": "CenterCrop", "crop_size": (8, 8), "auto_pad": True},
            {"type": "RandomCutOut", "prob": 1.0, "n_holes": 1, "cutout_shape": (2, 2)}
            | {"seg_fill_in": 255},
        ],
    )
    def test_pixels_beside_the_image_are_refused_unless_they_are_marked(self, root, step):
        match = (
            f"{step['type']}, whose padding would get pseudo-labels. Put MarkImagePixels before it"
        )
        mark, hide = {"type": "MarkImagePixels"}, {"type": "HideGroundTruth"}
        for pipeline in (
            [LOAD, step, PACK],
            [LOAD, mark, step, PACK],
            [LOAD, step, mark, PACK, hide],
        ):
            with pytest.raises(DataError, match=match):
                SemiDataset(labeled(root), unlabeled(root, pipeline=pipeline))
        marked = unlabeled(root, pipeline=[LOAD, mark, step, PACK, hide])
        assert "image_pixels" in SemiDataset(labeled(root), marked)[6]["data_samples"]

    @pytest.mark.parametrize(
        "step",
        [
            {"type": "Pad", "size": (8, 8), "pad_val": {"img": 0, "seg": 11}},
            {"type": "RandomRotate", "prob": 0.5, "degree": 10, "seg_pad_val": 11},
            {"type": "CenterCrop", "crop_size": (8, 8), "auto_pad": True}
            | {"pad_cfg": {"type": "Pad", "pad_val": {"img": 0, "seg": 11}}},
            {"type": "RandomCutOut", "prob": 1.0, "n_holes": 1, "cutout_shape": (2, 2)}
            | {"seg_fill_in": 11},
        ],
    )
    def test_padding_that_looks_like_a_class_is_refused(self, root, step):
        mask = {"type": "LoadAnnotations"}
        with pytest.raises(DataError, match=f"{step['type']} pads masks with 11.* be 255"):
            SemiDataset(
                labeled(root, pipeline=[LOAD, mask, step, PACK]), {"ann_file": "unlabeled.txt"}
            )

    def test_a_plain_crop_works(self, root):
        crop = {"type": "RandomCrop", "crop_size": (4, 4)}
        dataset = SemiDataset(labeled(root), unlabeled(root, pipeline=[LOAD, crop, PACK]))
        assert tuple(dataset[6]["inputs"].shape) == (3, 4, 4)


class TestBadLists:
    @pytest.mark.parametrize("kind", ["CamVidDataset", "PascalVOCDataset"])
    @pytest.mark.parametrize("lazy", [False, True])
    def test_missing(self, root, kind, lazy):
        config = labeled(root, type=kind, ann_file="gone.txt", lazy_init=lazy)
        with pytest.raises(DataError, match=r"labeled: the split list .*gone\.txt' does not exist"):
            SemiDataset(config, unlabeled(root))

    def test_missing_in_a_concatenation(self, root):
        parts = [unlabeled(root), unlabeled(root, ann_file="gone.txt")]
        both = {"type": "ConcatDataset", "datasets": parts}
        with pytest.raises(DataError, match=r"unlabeled: the split list .*gone\.txt' does not"):
            SemiDataset(labeled(root), both)

    @pytest.mark.parametrize("serialize", [True, False])
    @pytest.mark.parametrize("content", ["", "\n", " \n\t\n\n"])
    def test_empty(self, root, content, serialize):
        (root / "unlabeled.txt").write_text(content)
        config = unlabeled(root, serialize_data=serialize)
        with pytest.raises(
            DataError, match=r"unlabeled: the split list .*unlabeled\.txt' is empty"
        ):
            SemiDataset(labeled(root), config)

    def test_blank_lines(self, root):
        (root / "labeled.txt").write_text("a\n\nb\n\n")
        match = r"labeled: the split list .*labeled\.txt' has blank lines:\n  line 2\n  line 4\n"
        with pytest.raises(DataError, match=match):
            SemiDataset(labeled(root), unlabeled(root))

    def test_empty_data_set_object(self, root):
        empty = DATASETS.build(labeled(root, indices=0))
        with pytest.raises(DataError, match=r"labeled: the data set is empty; .*labeled\.txt'"):
            SemiDataset(empty, unlabeled(root))


class TestBadDirectories:
    def test_missing(self, root):
        config = unlabeled(root, ann_file="", data_prefix={"img_path": "gone"})
        with pytest.raises(DataError, match=r"unlabeled: the image directory .*gone' does not"):
            SemiDataset(labeled(root), config)

    def test_no_image_with_the_suffix_of_the_class(self, root):
        config = unlabeled(
            root, ann_file="", data_prefix={"img_path": "labels"}, serialize_data=True
        )
        with pytest.raises(DataError, match=r"labels' has no file that ends in '\.jpg'"):
            SemiDataset(labeled(root), config)

    def test_no_image_with_the_suffix_of_the_config(self, root):
        config = unlabeled(root, ann_file="", img_suffix=".tif", serialize_data=True)
        with pytest.raises(DataError, match=r"images' has no file that ends in '\.tif'"):
            SemiDataset(labeled(root), config)


def test_other_errors_of_a_data_set_are_left_as_they_are(root):
    config = labeled(root, metainfo={"classes": ("sky", "moon")})
    with pytest.raises(ValueError, match="is not a subset of classes"):
        SemiDataset(config, unlabeled(root))


@pytest.mark.parametrize("as_config", [True, False])
def test_a_repeated_stream_is_refused(root, as_config):
    inner = labeled(root)
    repeated = {"type": "RepeatDataset", "times": 2, "dataset": inner}
    stream = repeated if as_config else RepeatDataset(DATASETS.build(inner), times=2)
    with pytest.raises(TypeError, match=r"labeled must be a data set config.*got RepeatDataset"):
        SemiDataset(stream, unlabeled(root))


def test_augmentation_depends_on_the_draw_also_of_an_image_that_stands_in(root):
    pipeline = [LOAD, {"type": "PhotoMetricDistortion"}, PACK]
    dataset = SemiDataset(labeled(root), unlabeled(root, pipeline=pipeline), max_faulty_share=1.0)
    draws = [Draw(index, 1, 1, number) for index in (2, 3) for number in range(9)]
    first = {draw.number: dataset[draw]["inputs"] for draw in draws if draw == 3}
    (root / "images" / "c.jpg").write_bytes(b"no image")
    for draw in reversed(draws):
        assert torch.equal(dataset[draw]["inputs"], first[draw.number])
    assert len({image.numpy().tobytes() for image in first.values()}) > 3
