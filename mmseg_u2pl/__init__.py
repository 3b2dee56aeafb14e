"""U2PL semi-supervised training for any MMSegmentation config.

Importing the package registers its components with MMSegmentation.
"""

import sys
from contextlib import redirect_stdout

from mmseg_u2pl.compat import allow_checkpoint_types, check_versions, enable_config_lookup

check_versions()
enable_config_lookup()
allow_checkpoint_types()

# MMSegmentation prints which optional packages it lacks. Standard output belongs to the caller.
with redirect_stdout(sys.stderr):
    from mmseg_u2pl import datasets, engine, methods, models, registry
from mmseg_u2pl.version import __version__  # noqa: E402

__all__ = ["__version__", "datasets", "engine", "methods", "models", "registry"]
