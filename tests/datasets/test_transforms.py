"""Image pixels of unlabeled images are told from pixels that the pipeline adds."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from datatrees import write_image
from mmseg_u2pl.datasets import SemiDataset
from mmseg_u2pl.datasets.draws import Draw

BRIGHT = 200
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
PACK = dict(type="PackSegInputs")
PAD = dict(type="Pad", size=(40, 64))
ZEROS = dict(PAD, pad_val=dict(img=0, seg=0))
ROTATE = dict(type="RandomRotate", prob=1.0, degree=(30, 40))
ROTATE_OR_FLIP = dict(type="RandomRotFlip", rotate_prob=1.0, degree=(30, 40))
ERASE = dict(type="RandomCutOut", prob=1.0, n_holes=3, cutout_shape=(6, 9), seg_fill_in=255)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    """Two bright images; masks have class 1 in the upper half and no class in the lower one."""
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", (32, 48), BRIGHT)
        mask = np.ones((32, 48), np.uint8)
        mask[20:] = 255
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "labels" / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    return tmp_path


def unlabeled_sample(root, transforms, **changes):
    """Image and data sample of an unlabeled image, with fixed random numbers."""
    labeled = dict(
        type="BaseSegDataset",
        data_root=str(root),
        img_suffix=".png",
        ann_file="a.txt",
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        pipeline=[*LOAD, *transforms, PACK],
        serialize_data=False,
    )
    dataset = SemiDataset(labeled, dict(ann_file="b.txt", **changes))
    sample = dataset[Draw(1, seed=3, number=0)]
    assert "gt_sem_seg" not in sample["data_samples"]
    return sample["inputs"].numpy(), sample["data_samples"]


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize(
    "transforms",
    [
        [PAD],
        [ZEROS],
        [ROTATE_OR_FLIP],
        [ROTATE],
        [ERASE],
        [ROTATE, PAD],
        [dict(type="RandomApply", transforms=[ROTATE], prob=1.0)],
    ],
)
def test_pixels_that_transforms_add_are_not_of_the_image(root, transforms, scored):
    image, sample = unlabeled_sample(root, transforms, score_pseudo_labels=scored)
    own = sample.image_pixels.data[0].numpy()
    assert own.dtype == bool
    assert own.shape == image.shape[1:]
    # Between the two, bilinear interpolation leaves a seam of other values.
    assert own[(image == BRIGHT).all(axis=0)].all()
    assert not own[(image == 0).all(axis=0)].any()
    assert 0.01 < (image == 0).mean() < 0.7


def test_masks_that_are_interpolated_have_no_truth_if_there_is_none(root):
    _, sample = unlabeled_sample(root, [ROTATE_OR_FLIP])
    assert "hidden_sem_seg" not in sample


def test_all_pixels_are_of_an_image_that_is_only_cropped_and_flipped(root):
    flip, crop = dict(type="RandomFlip", prob=1.0), dict(type="RandomCrop", crop_size=(16, 24))
    _, sample = unlabeled_sample(root, [flip, crop])
    assert sample.image_pixels.data.shape == (1, 16, 24)
    assert sample.image_pixels.data.all()
    assert "hidden_sem_seg" not in sample


def test_pixels_of_unknown_class_are_of_the_image_but_without_truth(root):
    _, sample = unlabeled_sample(root, [PAD], score_pseudo_labels=True)
    own, truth = sample.image_pixels.data[0], sample.hidden_sem_seg.data[0]
    assert own[:32, :48].all()
    assert own.sum() == 32 * 48
    assert (truth[:20, :48] == 1).all()
    assert (truth[20:] == 255).all()
    assert (truth[:, 48:] == 255).all()


@pytest.mark.parametrize("transforms", [[ROTATE, PAD], [ZEROS]])
def test_scoring_does_not_change_what_is_trained_with(root, transforms):
    plain, scored = (
        unlabeled_sample(root, transforms, score_pseudo_labels=score) for score in (False, True)
    )
    np.testing.assert_array_equal(plain[0], scored[0])
    assert plain[1].image_pixels.data.equal(scored[1].image_pixels.data)
    assert not plain[1].image_pixels.data.all()


def test_an_image_whose_classes_are_all_unknown_has_no_truth(root):
    Image.fromarray(np.full((32, 48), 255, np.uint8)).save(root / "labels/b.png")
    _, sample = unlabeled_sample(root, [], score_pseudo_labels=True)
    assert sample.image_pixels.data.all()
    assert "hidden_sem_seg" not in sample
