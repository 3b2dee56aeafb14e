"""Derives the unlabeled data set's config from the labeled one's."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from .checks import GROUND_TRUTH_TRANSFORMS, DataError


def complete_unlabeled(labeled: Mapping[str, Any], unlabeled: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what an unlabeled data set's config leaves out.

    A config with a ``type`` is complete. One without takes the keys it lacks from the labeled
    config; masks are left out of ``data_prefix`` and, by :func:`strip_ground_truth`, out of the
    pipeline.

    Args:
        labeled: Config of the labeled data set.
        unlabeled: Config of the unlabeled one, at least what differs.

    Returns:
        The complete config.

    Raises:
        DataError: There is nothing to take the keys from: the labeled config wraps others.
    """
    if "type" in unlabeled:
        return dict(unlabeled)
    if "pipeline" not in labeled or "datasets" in labeled:
        raise DataError(
            f"unlabeled: the config has no type, and the labeled one ({labeled.get('type')}) has "
            "no pipeline of its own to derive one from. Give unlabeled as a whole, with its type."
        )
    config = deepcopy(dict(labeled))
    if "data_prefix" in config:
        config["data_prefix"] = {
            key: value for key, value in config["data_prefix"].items() if key != "seg_map_path"
        }
    config["pipeline"] = strip_ground_truth(config["pipeline"])
    return config | dict(unlabeled)


def strip_ground_truth(pipeline: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A training pipeline without what needs ground truth.

    Transforms that load or derive annotations are dropped, also inside wrappers such as
    ``RandomApply``, and ``RandomCrop`` loses its ``cat_max_ratio``.

    Args:
        pipeline: Transform configs, as in a data set's config.

    Returns:
        Transform configs for unlabeled images.
    """
    stripped = []
    for step in pipeline:
        kind = TRANSFORMS.get(step["type"]) if isinstance(step["type"], str) else step["type"]
        if isinstance(kind, type) and issubclass(kind, GROUND_TRUTH_TRANSFORMS):
            continue
        changed = dict(step)
        if isinstance(kind, type) and issubclass(kind, RandomCrop):
            changed.pop("cat_max_ratio", None)
        if "transforms" in changed:
            changed["transforms"] = _strip_nested(changed["transforms"])
        stripped.append(changed)
    return stripped


def _strip_nested(transforms: Any) -> Any:
    """Strip the transforms of a wrapper: one, a list of them, or a list of lists."""
    if isinstance(transforms, Mapping):
        return strip_ground_truth([transforms])
    if transforms and isinstance(transforms[0], (list, tuple)):
        return [_strip_nested(inner) for inner in transforms]
    return strip_ground_truth(transforms)
