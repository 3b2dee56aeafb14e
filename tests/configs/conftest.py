"""Data for the shipped configs."""

import pytest

from datatrees import write_image, write_list, write_mask


@pytest.fixture
def voc(tmp_path):
    """Ten images in VOC's folders: two labeled, six unlabeled, two to validate on."""
    root = tmp_path / "VOC2012"
    names = [f"2007_{number:06}" for number in range(10)]
    for number, name in enumerate(names):
        write_image(root / f"JPEGImages/{name}.jpg", (50, 60), value=20 * number)
        for folder in ("SegmentationClass", "SegmentationClassAug"):
            write_mask(root / f"{folder}/{name}.png", [*range(21)] * 50 + [255, number], (50, 60))
    write_list(root / "ImageSets/u2pl/92/labeled.txt", names[:2])
    write_list(root / "ImageSets/u2pl/92/unlabeled.txt", names[2:8])
    write_list(root / "ImageSets/Segmentation/val.txt", names[8:])
    return root
