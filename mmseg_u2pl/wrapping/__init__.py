"""From a plain MMSegmentation config to one with U2PL, and from its checkpoint back."""

from .export import export_segmentor
from .images import Images, ImageSet, labeled_sets, training_sets, unlabeled_sets
from .plain_config import (
    ConfigError,
    Schedule,
    read_config,
    read_plain_config,
    training_schedule,
)
from .verify import build_model, try_data
from .wrap import dropped_hooks, relative_base, supervised_twin, wrap_with_u2pl

__all__ = [
    "ConfigError",
    "ImageSet",
    "Images",
    "Schedule",
    "build_model",
    "dropped_hooks",
    "export_segmentor",
    "labeled_sets",
    "read_config",
    "read_plain_config",
    "relative_base",
    "supervised_twin",
    "training_schedule",
    "training_sets",
    "try_data",
    "unlabeled_sets",
    "wrap_with_u2pl",
]
