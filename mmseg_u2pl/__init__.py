"""U2PL semi-supervised training for any MMSegmentation config.

Importing the package registers its components with MMSegmentation.
"""

from .compat import check_versions, enable_mmseg_config_lookup

check_versions()
enable_mmseg_config_lookup()

from . import contrib, datasets, engine, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ["__version__", "contrib", "datasets", "engine", "models"]
