"""U2PL semi-supervised training for any MMSegmentation config.

Importing the package registers its components with MMSegmentation. :mod:`mmseg_u2pl.compat` lists
the other changes.
"""

from mmseg_u2pl.compat import (
    allow_checkpoint_types,
    check_versions,
    enable_config_lookup,
    quiet_import,
)

check_versions()
enable_config_lookup()
allow_checkpoint_types()
with quiet_import():
    from mmseg_u2pl import datasets, engine, methods, models, registry
from mmseg_u2pl.version import __version__  # noqa: E402

__all__ = ["__version__", "datasets", "engine", "methods", "models", "registry"]
