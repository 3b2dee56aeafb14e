"""Data and checkpoints that several tests use."""

import pytest
from mmengine.runner import Runner

from checkpoints import config
from scenes.dataset import write_builtin_dataset


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Work folder of a run with all its checkpoints, including the best ones."""
    folder = tmp_path_factory.mktemp("saved")
    Runner(**config(folder, max_keep_ckpts=-1, save_best="mIoU")).train()
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Four labeled images, eight unlabeled (one of them truncated), and three for validation."""
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64)
    write_builtin_dataset(root, **options, num_workers=1, progress=False)
    name = (root / "ImageSets/Segmentation/unlabeled.txt").read_text().split()[0]
    image = root / f"JPEGImages/{name}.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    return root
