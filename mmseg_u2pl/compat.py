"""The one place that knows there are two MMSegmentation stacks, and all that importing changes.

The OpenMMLab originals (``mmengine``, ``mmcv``, ``mmsegmentation``) and the maintained OneDL
builds (``onedl-mmengine``, ...) are imported under the same names, so the rest of the package
need not tell them apart. They differ in the names of their distributions, which matters in two
places: when versions are checked, and when a config asks for a base as ``mmseg::...``. And they
differ in what the data preprocessor derives from.

After ``import mmseg_u2pl`` a plain MMSegmentation run builds the same hooks, writes the same files
and loads checkpoints by the same rules as before. What changes for the whole process is this:

- MMEngine's table of config packages, ``MODULE2PACKAGE``: ``mmseg_u2pl::...`` is found, and under
  OneDL ``mmseg::``, ``mmpretrain::`` and ``mmdet::`` are too (:func:`enable_config_lookup`).
- PyTorch's list of types that ``weights_only=True`` loads: NumPy's float32, and with the originals
  the types that MMEngine saves (:func:`allow_checkpoint_types`).
- MMSegmentation's registries: they have more names, none of which replaces another, and an empty
  child of the scope ``mmseg_u2pl`` each (:mod:`mmseg_u2pl.registry`).
- MMEngine's file backends: there is one more, ``"atomic"``
  (:mod:`mmseg_u2pl.engine.resume.atomic_files`).
- Python's filters of warnings: one for the text of a single warning (:func:`quiet_import`).

Nothing of the stack is imported at the top, because :func:`check_versions` is to speak before an
unsuitable stack fails in its own words.
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
    """One package of the stack: its distribution in either stack, and the versions supported."""

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

# mim finds the build of MMCV for the installed PyTorch, with its operators compiled; with pip alone
# the originals' MMCV is compiled on the spot, or fails to be.
_INSTALL_ONEDL = 'pip install "mmseg_u2pl[onedl]"'
_INSTALL_OPENMMLAB = 'mim install "mmseg_u2pl[openmmlab]"'
_INSTALL_EITHER = f"OneDL's with `{_INSTALL_ONEDL}`, or OpenMMLab's with `{_INSTALL_OPENMMLAB}`"


def _installed_version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_versions() -> None:
    """Refuse a stack that mmseg_u2pl is not made for.

    Raises:
        RuntimeError: If both stacks are installed at once, or a package is missing or has an
            unsupported version. It is no ImportError, because MMEngine's ``custom_imports``
            replaces the message of one.
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

    MMEngine looks an external config up in the distribution that its ``MODULE2PACKAGE`` names,
    and that table knows the OpenMMLab distributions alone. The same is done for ``mmpretrain::``
    and ``mmdet::``. An entry is changed only if its OneDL distribution is installed, so that the
    originals stay as they are; calling it again changes nothing.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE["mmseg_u2pl"] = "mmseg_u2pl"
    for module, distribution in _ONEDL_CONFIG_PACKAGES.items():
        if _installed_version(distribution):
            MODULE2PACKAGE[module] = distribution


def allow_checkpoint_types() -> None:
    """Let MMEngine load its checkpoints with ``weights_only=True``, which runs no code of the file.

    PyTorch 2.6 made that the default, and the originals' MMEngine cannot load what it saved. That
    of OneDL lists the types that it saves, but not NumPy's float32, of which the scores of
    MMSegmentation are. Finding one, it would load again without that safety.
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
        allowed += [HistoryBuffer, getattr]  # the log's history names its methods with it
    torch.serialization.add_safe_globals(allowed)


def swaps_red_and_blue(preprocessor: nn.Module) -> bool:
    """Whether a data preprocessor of MMSegmentation changes BGR to RGB or back.

    That of OneDL derives from MMEngine's ``ImgDataPreprocessor`` and has its attribute; that of the
    originals has one of its own.
    """
    onedl, openmmlab = "_channel_conversion", "channel_conversion"
    return bool(getattr(preprocessor, onedl if hasattr(preprocessor, onedl) else openmmlab))


@contextmanager
def quiet_import() -> Iterator[None]:
    """Import the stack without two messages, on which no user can act.

    MMSegmentation of OneDL prints twice that a client for OneDL's platform is not installed, and
    MMCV warns without its compiled operators, which the models that need them report themselves.
    Anything else that is printed goes to standard error: standard output belongs to the caller.
    """
    # The filter stays. To restore the filters would undo those of packages that are imported here.
    warnings.filterwarnings("ignore", message=_WARNED_BY_MMCV, category=UserWarning)
    with redirect_stdout(io.StringIO()) as printed:
        try:
            yield
        finally:
            for line in printed.getvalue().splitlines():
                if line != _PRINTED_BY_ONEDL:
                    print(line, file=sys.stderr)
