from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.logging import MessageHub
from torch import nn

from mmseg_u2pl import compat

OPENMMLAB = {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmsegmentation": "1.2.2"}
ONEDL = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmsegmentation": "1.4.2"}

Install = Callable[[dict[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make the given distributions and versions the only ones that can be found."""

    def fake(distributions: dict[str, str]) -> None:
        for name, version in distributions.items():
            folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
        monkeypatch.setattr(sys, "path", [str(tmp_path)])

    return fake


def test_this_environment_is_supported() -> None:
    compat.check_versions()


@pytest.mark.parametrize(
    "stack",
    [
        OPENMMLAB,
        ONEDL,
        ONEDL | {"onedl-mmengine": "0.10.8rc1"},
        ONEDL | {"onedl-mmcv": "2.3.2.post2"},
        ONEDL | {"onedl-mmpretrain": "1.3.6", "mmdet": "3.3.0"},
    ],
)
def test_supported_stacks_pass(install: Install, stack: dict[str, str]) -> None:
    install(stack)
    compat.check_versions()


@pytest.mark.parametrize(
    ("name", "version", "needs"),
    [
        ("onedl-mmengine", "0.10.6", "mmengine>=0.10.7,<0.11"),
        ("onedl-mmengine", "0.11.0", "mmengine>=0.10.7,<0.11"),
        ("onedl-mmcv", "2.0.1", "mmcv>=2.1.0,<2.4"),
        ("onedl-mmcv", "2.4.0", "mmcv>=2.1.0,<2.4"),
        ("onedl-mmcv", "2.4.0rc1", "mmcv>=2.1.0,<2.4"),
        ("onedl-mmsegmentation", "1.2.1", "mmseg>=1.2.2,<1.5"),
        ("onedl-mmsegmentation", "1.5.0", "mmseg>=1.2.2,<1.5"),
    ],
)
def test_unsupported_version_is_named(
    install: Install, name: str, version: str, needs: str
) -> None:
    install(ONEDL | {name: version})
    message = (
        f"{name} {version} is installed, but mmseg_u2pl needs {needs}. "
        'Install it: `pip install "mmseg_u2pl[onedl]"`.'
    )
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        compat.check_versions()


def test_original_stack_is_mended_by_an_original_package(install: Install) -> None:
    install(OPENMMLAB | {"mmcv": "2.0.1"})
    with pytest.raises(RuntimeError, match=r'`mim install "mmseg_u2pl\[openmmlab\]"`\.$'):
        compat.check_versions()


EITHER = (
    'OneDL\'s with `pip install "mmseg_u2pl[onedl]"`, '
    'or OpenMMLab\'s with `mim install "mmseg_u2pl[openmmlab]"`.'
)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (
            {"mmcv-lite": "2.1.0"},
            "MMSegmentation is not installed: mmengine, mmcv, mmseg are missing. "
            f"Install them: {EITHER}",
        ),
        (
            {"onedl-mmengine": "0.10.12"},
            "onedl-mmcv is not installed, but mmseg_u2pl needs mmcv>=2.1.0,<2.4. "
            'Install it: `pip install "mmseg_u2pl[onedl]"`.',
        ),
        (
            {"mmengine": "0.10.7", "mmcv-lite": "2.1.0"},
            "mmcv is not installed, but mmseg_u2pl needs mmcv>=2.1.0,<2.4. "
            'Install it: `mim install "mmseg_u2pl[openmmlab]"`.',
        ),
    ],
)
def test_missing_packages_are_named(install: Install, stack: dict[str, str], message: str) -> None:
    install(stack)
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        compat.check_versions()


def test_two_stacks_at_once_are_refused(install: Install) -> None:
    install(ONEDL | {"mmengine": "0.10.7"})
    message = (
        "mmengine of OpenMMLab and onedl-mmengine, onedl-mmcv, onedl-mmsegmentation of OneDL. "
        "Remove both with `pip uninstall mmengine onedl-mmengine onedl-mmcv onedl-mmsegmentation`, "
        f"then install one: {EITHER}"
    )
    with pytest.raises(RuntimeError, match=re.escape(message)):
        compat.check_versions()


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """MMEngine's original table; restored after the test."""
    for module, distribution in [
        ("mmseg", "mmsegmentation"),
        ("mmpretrain", "mmpretrain"),
        ("mmdet", "mmdet"),
    ]:
        monkeypatch.setitem(MODULE2PACKAGE, module, distribution)
    return MODULE2PACKAGE


def test_lookup_follows_what_is_installed(install: Install, lookup: dict[str, str]) -> None:
    install(ONEDL | {"onedl-mmdetection": "3.5.1", "mmpretrain": "1.2.0"})
    compat.enable_config_lookup()
    assert lookup["mmseg"] == "onedl-mmsegmentation"
    assert lookup["mmdet"] == "onedl-mmdetection"
    assert lookup["mmpretrain"] == "mmpretrain"


def test_lookup_leaves_the_originals_alone(install: Install, lookup: dict[str, str]) -> None:
    install(OPENMMLAB)
    before = dict(lookup)
    compat.enable_config_lookup()
    assert lookup == before


def load(tmp_path: Path, **files: str) -> Config:
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return Config.fromfile(tmp_path / "user.py")


def test_mmseg_base_resolves(tmp_path: Path, lookup: dict[str, str]) -> None:
    compat.enable_config_lookup()
    cfg = load(tmp_path, user="_base_ = 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'")
    assert cfg.model.type == "EncoderDecoder"
    assert cfg.model.decode_head.type == "FCNHead"
    assert cfg.train_cfg.max_iters == 40000


def test_user_config_wraps_the_model_of_its_base(tmp_path: Path) -> None:
    cfg = load(
        tmp_path,
        method="method = dict(weight=0.5, head=dict(type='Head'))",
        user=(
            "_base_ = ['mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',\n"
            "          'method.py']\n"
            "model = dict(_delete_=True, type='X', segmentor=_base_.model, **_base_.method)\n"
        ),
    )
    assert set(cfg.model) == {"type", "segmentor", "weight", "head"}
    assert cfg.model.segmentor.decode_head.type == "SegformerHead"
    assert cfg.model.segmentor.decode_head.num_classes == 150
    assert cfg.model.weight == 0.5
    assert cfg.model.head == {"type": "Head"}


def test_wrapped_model_can_be_changed_by_a_config_on_top(tmp_path: Path) -> None:
    cfg = load(
        tmp_path,
        wrapped=(
            "_base_ = ['mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py']\n"
            "model = dict(_delete_=True, type='X', segmentor=_base_.model)\n"
        ),
        user=(
            "_base_ = 'wrapped.py'\nmodel = dict(segmentor=dict(decode_head=dict(num_classes=3)))\n"
        ),
    )
    assert cfg.model.type == "X"
    assert cfg.model.segmentor.decode_head.num_classes == 3
    assert cfg.model.segmentor.decode_head.type == "SegformerHead"


@pytest.mark.parametrize("name", ["_channel_conversion", "channel_conversion"])
@pytest.mark.parametrize("swaps", [False, True])
def test_channels_of_either_preprocessor(name: str, swaps: bool) -> None:
    preprocessor = nn.Module()
    setattr(preprocessor, name, swaps)
    assert compat.swaps_red_and_blue(preprocessor) is swaps


@pytest.fixture
def allowed() -> Iterator[None]:
    """Clear the types allowed in checkpoints until the end of the test."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.mark.skipif(
    not hasattr(torch.serialization, "add_safe_globals"),
    reason="before PyTorch 2.4 checkpoints are loaded without a list of allowed types",
)
@pytest.mark.usefixtures("allowed")
def test_originals_load_what_they_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MessageHub("saved")
    for value in (np.float32(0.25), 0.75):
        hub.update_scalar("val/mIoU", value)
    torch.save(hub.state_dict(), tmp_path / "hub.pth")
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / "hub.pth", weights_only=True)
    monkeypatch.setattr(compat, "_installed_version", OPENMMLAB.get)
    compat.allow_checkpoint_types()
    loaded = torch.load(tmp_path / "hub.pth", weights_only=True)
    assert loaded["log_scalars"]["val/mIoU"].mean() == 0.5
