"""Damaged files, and images of all kinds."""

import io

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from datatrees import write_image, write_list, write_mask
from mmseg_u2pl.checks.masks import check_masks, read_masks
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.faulty_images import require_whole, skipped_images

LOAD, ANNOTATE, PACK = (
    dict(type=kind) for kind in ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")
)
AUGMENT = [
    dict(type="RandomResize", scale=(64, 32), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(32, 32)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


def noise(size=(40, 50), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def encoded(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_was_cut_off_anywhere_is_found(tmp_path, kind):
    content, path = encoded(kind), tmp_path / "image"
    path.write_bytes(content)
    require_whole(str(path))
    # The last 16 bytes of a PNG do not belong to the image.
    for length in (0, 2, 5, 100, len(content) // 2, len(content) - (1 if kind == "JPEG" else 100)):
        path.write_bytes(content[:length])
        with pytest.raises(OSError, match=r"\w"):
            require_whole(str(path))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded("JPEG") + b"\0" * 7, id="zeros after a JPEG"),
        pytest.param(encoded("JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(encoded("PNG") + b"more", id="more after a PNG"),
        pytest.param(encoded("BMP"), id="another format"),
    ],
)
def test_whole_files_and_other_formats_pass(tmp_path, content):
    path = tmp_path / "image"
    path.write_bytes(content)
    require_whole(str(path))


def test_files_elsewhere_are_not_looked_at():
    require_whole("s3://bucket/image.jpg")


@pytest.fixture
def root(tmp_path):
    """Two labeled and four unlabeled images; the value of image k is 10 k."""
    for index, name in enumerate("abcdef"):
        write_image(tmp_path / f"images/{name}.png", value=10 * index)
        write_mask(tmp_path / f"labels/{name}.png", [0, 1])
    write_list(tmp_path / "labeled.txt", "ab")
    write_list(tmp_path / "unlabeled.txt", "cdef")
    return tmp_path


def semi_dataset(root, augment=(), **options):
    labeled = dict(
        type="BaseSegDataset",
        metainfo=dict(classes=("zero", "one")),
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        img_suffix=".png",
        ann_file="labeled.txt",
        pipeline=[LOAD, ANNOTATE, *augment, PACK],
        serialize_data=False,  # serializing collects garbage, which is slow
    )
    unlabeled = dict(ann_file="unlabeled.txt")
    return DATASETS.build(dict(type="SemiDataset", labeled=labeled, unlabeled=unlabeled, **options))


def cut(path):
    Image.fromarray(noise()).save(path)
    path.write_bytes(path.read_bytes()[:-100])


def test_the_next_unlabeled_image_stands_in_and_says_so(root):
    cut(root / "images/d.png")
    (root / "images/f.png").write_text("no image")
    dataset = semi_dataset(root)
    samples = [dataset[index] for index in range(6)]
    assert [int(sample["inputs"][0, 0, 0]) for sample in samples] == [0, 10, 20, 40, 40, 20]
    noted = skipped_images(dict(data_samples=[sample["data_samples"] for sample in samples]))
    assert list(noted) == [str(root / "images/d.png"), str(root / "images/f.png")]
    assert "truncated" in noted[str(root / "images/d.png")]


@pytest.mark.parametrize("name", ["images/b.png", "labels/b.png"])
def test_a_faulty_labeled_image_or_mask_stops_and_is_named(root, name):
    cut(root / name)
    dataset = semi_dataset(root)
    dataset[0]
    match = r"labeled: the image '.*images/b.png' or its mask '.*labels/b.png' cannot be used \("
    with pytest.raises(DataError, match=match):
        dataset[1]


def test_many_faulty_images_in_a_row_stop_and_the_first_is_named(root):
    for name in "cdef":
        cut(root / f"images/{name}.png")
    with pytest.raises(DataError, match=r"10 images in a row are unusable.*images/e.png' \(OSEr"):
        semi_dataset(root)[4]


def test_ten_in_a_row_are_too_many_and_nine_are_not(root):
    names = [f"n{number}" for number in range(12)]
    write_list(root / "unlabeled.txt", names)
    for number, name in enumerate(names):
        write_image(root / f"images/{name}.png", value=number)
        if number < 10:
            cut(root / f"images/{name}.png")
    dataset = semi_dataset(root)
    with pytest.raises(DataError, match=r"10 images in a row are unusable.*images/n0.png'"):
        dataset[2]
    assert int(dataset[3]["inputs"][0, 0, 0]) == 10


def test_share_of_faulty_images(root):
    assert semi_dataset(root).max_faulty == 0  # one in a hundred of four
    assert semi_dataset(root, max_faulty_share=0.5).max_faulty == 2
    with pytest.raises(ValueError, match=r"max_faulty_share must lie in \[0, 1\], got 2"):
        semi_dataset(root, max_faulty_share=2)


def sixteen_bit(size):
    return Image.fromarray(noise(size)[..., 0].astype(np.uint16) * 257)


def with_alpha(size):
    return Image.fromarray(np.concatenate([noise(size), noise(size, 1)[..., :1]], axis=2))


KINDS = {
    "smaller than the crop": lambda: Image.fromarray(noise((5, 7))),
    "one pixel wide": lambda: Image.fromarray(noise((60, 1))),
    "one pixel high": lambda: Image.fromarray(noise((1, 60))),
    "one pixel": lambda: Image.fromarray(noise((1, 1))),
    "very wide": lambda: Image.fromarray(noise((40, 900))),
    "grayscale": lambda: Image.fromarray(noise()).convert("L"),
    "black and white": lambda: Image.fromarray(noise()).convert("1"),
    "palette": lambda: Image.fromarray(noise()).convert("P"),
    "with alpha": lambda: with_alpha((40, 50)),
    "gray with alpha": lambda: Image.fromarray(noise()).convert("LA"),
    "16 bit": lambda: sixteen_bit((40, 50)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_all_kinds_become_three_channels_of_bytes(root, kind):
    KINDS[kind]().save(root / "images/c.png")
    dataset = semi_dataset(root, AUGMENT)
    np.random.seed(0)
    for _ in range(5):
        sample = dataset[2]
        assert not skipped_images(dict(data_samples=[sample["data_samples"]]))
        assert str(sample["inputs"].dtype) == "torch.uint8"
        channels, height, width = sample["inputs"].shape
        assert channels == 3
        assert 1 <= height <= 32
        assert 1 <= width <= 32


def test_images_that_a_transform_cannot_take_are_skipped_with_its_reason(root):
    # Resized to a width of 64, it has no rows left.
    Image.fromarray(noise((1, 900))).save(root / "images/c.png")
    sample = semi_dataset(root, AUGMENT)[2]
    (reason,) = skipped_images(dict(data_samples=[sample["data_samples"]])).values()
    assert "resize" in reason


def write_turned(path, size=(4, 6)):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(noise(size)).save(path, exif=exif)


def test_images_are_turned_as_their_exif_data_say_and_masks_must_be_too(root):
    write_turned(root / "images/b.png")
    dataset = semi_dataset(root)
    masks = read_masks(dataset.labeled_datasets, "labeled")
    with pytest.raises(DataError, match=r"b\.png: 4x6 pixels .*its image has 6x4\n.*EXIF"):
        check_masks(masks, 2, "labeled")
    write_mask(root / "labels/b.png", [0, 1], (6, 4))
    check_masks(read_masks(dataset.labeled_datasets, "labeled"), 2, "labeled")
    assert dataset[1]["inputs"].shape == (3, 6, 4)


@pytest.mark.parametrize("largest", [255, 256, 1000])
def test_masks_of_16_bits_are_refused_if_they_need_them(root, largest):
    mask = np.full((4, 6), 1, np.uint16)
    mask[0, 0] = largest
    Image.fromarray(mask).save(root / "labels/a.png")
    masks = read_masks(semi_dataset(root).labeled_datasets, "labeled")
    if largest == 255:
        check_masks(masks, 2, "labeled")
    else:
        with pytest.raises(DataError, match=f"values up to {largest}, but .* 8 bits"):
            check_masks(masks, 2, "labeled")
