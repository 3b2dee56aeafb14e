"""Wraps plain MMSegmentation configs, and exports plain checkpoints."""

from mmseg_u2pl_tools.wrapping.export import choose_role, export_segmentor
from mmseg_u2pl_tools.wrapping.images import (
    Images,
    ImageSet,
    labeled_sets,
    training_sets,
    unlabeled_sets,
)
from mmseg_u2pl_tools.wrapping.plain_config import (
    ConfigError,
    Schedule,
    read_config,
    read_plain_config,
    training_schedule,
)
from mmseg_u2pl_tools.wrapping.verify import build_model, try_data
from mmseg_u2pl_tools.wrapping.wrap import (
    dropped_hooks,
    relative_base,
    supervised_twin,
    wrap_with_method,
)

__all__ = [
    "ConfigError",
    "ImageSet",
    "Images",
    "Schedule",
    "build_model",
    "choose_role",
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
    "wrap_with_method",
]
