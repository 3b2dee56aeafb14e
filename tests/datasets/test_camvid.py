import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_u2pl.datasets.camvid import CamVidDataset


def test_palette_has_one_distinct_color_for_each_of_the_eleven_classes():
    classes, palette = CamVidDataset.METAINFO["classes"], CamVidDataset.METAINFO["palette"]
    assert len(classes) == len(set(classes)) == 11
    assert len(palette) == len({tuple(color) for color in palette}) == 11


@pytest.mark.parametrize(
    ("index", "name", "color"),
    [(0, "sky", [128, 128, 128]), (3, "road", [128, 64, 128]), (10, "bicyclist", [0, 128, 192])],
)
def test_index_name_and_color(index, name, color):
    assert CamVidDataset.METAINFO["classes"][index] == name
    assert CamVidDataset.METAINFO["palette"][index] == color


def test_loads_names_from_a_list(tmp_path):
    init_default_scope("mmseg")
    mask = np.array([[0, 10, 255], [3, 3, 1]], np.uint8)
    for kind, suffix, content in (
        ("images", ".jpg", np.zeros((2, 3, 3), np.uint8)),
        ("labels", ".png", mask),
    ):
        (tmp_path / kind / "train").mkdir(parents=True)
        Image.fromarray(content).save(tmp_path / kind / "train" / f"a{suffix}")
    (tmp_path / "labeled.txt").write_text("train/a\n")

    dataset = DATASETS.build(
        {
            "type": "CamVidDataset",
            "data_root": str(tmp_path),
            "ann_file": "labeled.txt",
            "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
            "pipeline": [
                {"type": "LoadImageFromFile"},
                {"type": "LoadAnnotations"},
                {"type": "PackSegInputs"},
            ],
        }
    )

    assert len(dataset) == 1
    sample = dataset[0]
    assert tuple(sample["inputs"].shape) == (3, 2, 3)
    assert np.array_equal(sample["data_samples"].gt_sem_seg.data[0].numpy(), mask)
