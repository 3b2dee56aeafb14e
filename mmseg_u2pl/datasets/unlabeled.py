"""Derives the unlabeled data set's config from the labeled one's."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from mmcv.transforms import Pad
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from .checks import GROUND_TRUTH_TRANSFORMS, DataError


def complete_unlabeled(labeled: Mapping[str, Any], unlabeled: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what an unlabeled data set's config leaves out.

    A config with a ``type`` is complete. One without takes the keys it lacks from the labeled
    config; masks are left out of ``data_prefix`` and, by :func:`strip_ground_truth`, out of the
    pipeline. With ``score_pseudo_labels=True`` masks are read and hidden, see
    :class:`HideGroundTruth`.

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
    unlabeled = dict(unlabeled)
    hide = unlabeled.pop("score_pseudo_labels", False)
    if "data_prefix" in config and not hide:
        config["data_prefix"].pop("seg_map_path", None)
    config["pipeline"] = strip_ground_truth(config["pipeline"], keep_annotations=hide)
    if hide:
        config["pipeline"].append(dict(type="HideGroundTruth"))
    return config | unlabeled


def strip_ground_truth(
    pipeline: Iterable[Mapping[str, Any]], keep_annotations: bool = False
) -> list[dict[str, Any]]:
    """A training pipeline without what needs ground truth.

    Transforms that load or derive annotations are dropped, also inside wrappers such as
    ``RandomApply``, and ``RandomCrop`` loses its ``cat_max_ratio``. ``Pad`` is dropped too: the
    data preprocessor pads as well, and leaves a note of which pixels are not of the image.

    Args:
        pipeline: Transform configs, as in a data set's config.
        keep_annotations: Whether annotations are still loaded, to be hidden in the end.

    Returns:
        Transform configs for unlabeled images.
    """
    stripped = []
    for step in pipeline:
        kind = TRANSFORMS.get(step["type"]) if isinstance(step["type"], str) else step["type"]
        needs_truth = isinstance(kind, type) and issubclass(kind, GROUND_TRUTH_TRANSFORMS)
        if needs_truth and not keep_annotations:
            continue
        if isinstance(kind, type) and issubclass(kind, Pad):
            continue
        changed = dict(step)
        if isinstance(kind, type) and issubclass(kind, RandomCrop):
            changed.pop("cat_max_ratio", None)
        if "transforms" in changed:
            changed["transforms"] = _strip_nested(changed["transforms"], keep_annotations)
        stripped.append(changed)
    return stripped


def _strip_nested(transforms: Any, keep_annotations: bool) -> Any:
    """Strip the transforms of a wrapper: one, a list of them, or a list of lists."""
    if isinstance(transforms, Mapping):
        return strip_ground_truth([transforms], keep_annotations)
    if transforms and isinstance(transforms[0], (list, tuple)):
        return [_strip_nested(inner, keep_annotations) for inner in transforms]
    return strip_ground_truth(transforms, keep_annotations)
