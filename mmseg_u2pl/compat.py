"""Differences between the two MMSegmentation stacks, and all side effects of importing the package.

The OpenMMLab originals (``mmengine``, ``mmcv``, ``mmsegmentation``) and the maintained OneDL
builds (``onedl-mmengine``, ...) have the same import names, so the rest of the package need not
tell them apart. Their distribution names differ, which matters when versions are checked and when
a config inherits ``mmseg::...``. The base class of the data preprocessor differs, too.

After ``import mmseg_u2pl``, a plain MMSegmentation run builds the same hooks, writes the same files
and loads checkpoints by the same rules as before. These global changes remain:

- MMEngine's table of config packages, ``MODULE2PACKAGE``, finds ``mmseg_u2pl::...``, and under
  OneDL also ``mmseg::``, ``mmpretrain::`` and ``mmdet::`` (:func:`enable_config_lookup`).
- PyTorch's list of types that ``weights_only=True`` loads has NumPy's float32, and with the
  originals the types that MMEngine saves (:func:`allow_checkpoint_types`).
- MMSegmentation's registries have more names, which replace no others, and an empty child of the
  scope ``mmseg_u2pl`` each (:mod:`mmseg_u2pl.registry`).
- MMEngine has the additional file backend ``"atomic"``
  (:mod:`mmseg_u2pl.engine.resume.atomic_files`).
- Python's warning filters hide the text of a single warning (:func:`quiet_import`).

Nothing of the stack is imported at the top, so that :func:`check_versions` runs before an
unsuitable stack raises its own errors.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module, metadata
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from torch import nn


class _Package(NamedTuple):
    """A package of the stack: its distribution in each stack, and the supported versions."""

    openmmlab: str
    onedl: str
    versions: str


_PACKAGES = {
    "mmengine": _Package("mmengine", "onedl-mmengine", ">=0.10.7,<0.11"),
    "mmcv": _Package("mmcv", "onedl-mmcv", ">=2.1.0,<2.4"),
    "mmseg": _Package("mmsegmentation", "onedl-mmsegmentation", ">=1.2.2,<1.5"),
}

_ONEDL_CONFIG_PACKAGES = {
    "mmseg": "onedl-mmsegmentation",
    "mmpretrain": "onedl-mmpretrain",
    "mmdet": "onedl-mmdetection",
}

_PRINTED_BY_ONEDL = "Could not import OneDL"
_WARNED_BY_MMCV = "Fail to import ``MultiScaleDeformableAttention``"

# mim finds the MMCV build with compiled operators for the installed PyTorch. pip compiles the
# originals' MMCV from source, which may fail.
_INSTALL_ONEDL = 'pip install "mmseg_u2pl[onedl]"'
_INSTALL_OPENMMLAB = 'mim install "mmseg_u2pl[openmmlab]"'
_INSTALL_EITHER = f"OneDL's with `{_INSTALL_ONEDL}`, or OpenMMLab's with `{_INSTALL_OPENMMLAB}`"


def _installed_version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_versions() -> None:
    """Refuse an unsupported stack.

    Raises:
        RuntimeError: If both stacks are installed, or a package is missing or has an unsupported
            version. It is not an ImportError, whose message MMEngine's ``custom_imports`` would
            replace.
    """
    openmmlab = [p.openmmlab for p in _PACKAGES.values() if _installed_version(p.openmmlab)]
    onedl = [p.onedl for p in _PACKAGES.values() if _installed_version(p.onedl)]
    if openmmlab and onedl:
        both = " ".join(openmmlab + onedl)
        raise RuntimeError(
            f"Two stacks with the same import names are installed in this environment: "
            f"{', '.join(openmmlab)} of OpenMMLab and {', '.join(onedl)} of OneDL. "
            f"Remove both with `pip uninstall {both}`, then install one: {_INSTALL_EITHER}."
        )
    if not openmmlab and not onedl:
        raise RuntimeError(
            f"MMSegmentation is not installed: {', '.join(_PACKAGES)} are missing. Install them: "
            f"{_INSTALL_EITHER}."
        )
    for module, package in _PACKAGES.items():
        _check_package(module, package, use_openmmlab=bool(openmmlab))


def _check_package(module: str, package: _Package, use_openmmlab: bool) -> None:
    distribution = package.openmmlab if use_openmmlab else package.onedl
    found = _installed_version(distribution)
    if found and SpecifierSet(package.versions).contains(found, prereleases=True):
        return
    state = f"{distribution} {found} is installed" if found else f"{distribution} is not installed"
    raise RuntimeError(
        f"{state}, but mmseg_u2pl needs {module}{package.versions}. Install it: "
        f"`{_INSTALL_OPENMMLAB if use_openmmlab else _INSTALL_ONEDL}`."
    )


def enable_config_lookup() -> None:
    """Let ``_base_ = 'mmseg::...'`` find the configs of an OneDL stack, and ``mmseg_u2pl::`` ours.

    MMEngine looks up an external config in the distribution that its ``MODULE2PACKAGE`` names,
    which only knows the OpenMMLab distributions. The same is done for ``mmpretrain::`` and
    ``mmdet::``. An entry is changed only if its OneDL distribution is installed. Calling the
    function again changes nothing.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE["mmseg_u2pl"] = "mmseg_u2pl"
    for module, distribution in _ONEDL_CONFIG_PACKAGES.items():
        if _installed_version(distribution):
            MODULE2PACKAGE[module] = distribution


def allow_checkpoint_types() -> None:
    """Let MMEngine load its checkpoints with ``weights_only=True``, which runs no code of the file.

    This is the default since PyTorch 2.6, with which the originals' MMEngine cannot load its own
    checkpoints. OneDL's MMEngine lists the types that it saves, but not NumPy's float32, the type
    of MMSegmentation's scores. If it finds one, it loads the file again without this protection.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    if not hasattr(torch.serialization, "add_safe_globals"):  # before PyTorch 2.4
        return
    allowed: list = [type(np.dtype(np.float32))]
    if _installed_version(_PACKAGES["mmengine"].openmmlab):
        core = "_core" if hasattr(np, "_core") else "core"
        multiarray = import_module(f"numpy.{core}.multiarray")
        allowed += [type(np.dtype(kind)) for kind in (np.float64, np.int64, np.uint32)]
        allowed += [np.ndarray, np.dtype, multiarray._reconstruct, multiarray.scalar]
        allowed += [HistoryBuffer, getattr]  # pickled log histories look up methods with getattr
    torch.serialization.add_safe_globals(allowed)


def swaps_red_and_blue(preprocessor: nn.Module) -> bool:
    """Whether a data preprocessor of MMSegmentation converts BGR to RGB or back.

    OneDL's derives from MMEngine's ``ImgDataPreprocessor`` and has its attribute; the originals'
    has an attribute of its own.
    """
    onedl, openmmlab = "_channel_conversion", "channel_conversion"
    return bool(getattr(preprocessor, onedl if hasattr(preprocessor, onedl) else openmmlab))


@contextmanager
def quiet_import() -> Iterator[None]:
    """Import the stack without two messages that users cannot act on.

    OneDL's MMSegmentation prints twice that a client for OneDL's platform is not installed. MMCV
    warns if it has no compiled operators, which models that need them report themselves. Other
    output goes to standard error, because standard output belongs to the caller.
    """
    # The filter is kept: restoring the filters would undo those of packages imported here.
    warnings.filterwarnings("ignore", message=_WARNED_BY_MMCV, category=UserWarning)
    with redirect_stdout(io.StringIO()) as printed:
        try:
            yield
        finally:
            for line in printed.getvalue().splitlines():
                if line != _PRINTED_BY_ONEDL:
                    print(line, file=sys.stderr)
