"""A short run of the demo's config, which several tests look at."""

import pytest

from runs import CONFIG, as_flags, run_tool, small_options
from scenes.dataset import write_builtin_dataset


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=16, num_val=5, labeled_fraction=0.25, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


WITH_PICTURES = f"""
_base_ = [{str(CONFIG)!r}]
model = dict(distribution_alignment=True)
custom_hooks = [dict(type="SemiVisualizationHook", interval=2, num_images=1)]
"""


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """Work folder of a short run through tools/train.py, with pictures and aligned labels."""
    work_dir = tmp_path_factory.mktemp("run")
    config = tmp_path_factory.mktemp("config") / CONFIG.name
    config.write_text(WITH_PICTURES)
    options = as_flags(small_options(data))
    done = run_tool("train.py", str(config), "--work-dir", str(work_dir), *options, cwd=work_dir)
    assert done.returncode == 0, done.stderr
    return work_dir
