"""Derives the unlabeled data set's config from the labeled one's."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from mmcv.transforms import LoadAnnotations
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from mmseg_u2pl.datasets.checks import GROUND_TRUTH_TRANSFORMS, DataError


def complete_unlabeled(labeled: Mapping[str, Any], unlabeled: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what an unlabeled data set's config leaves out.

    A config with a ``type`` is complete. One without takes the keys it lacks from the labeled
    config, but for what selects images: ``indices``, and the list if the images are elsewhere.
    Masks are left out of ``data_prefix`` and of the pipeline. With
    ``score_pseudo_labels=True`` masks are read and hidden. Either way pixels that transforms add
    to the image are known, see :class:`MarkImagePixels`.

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
    config.pop("indices", None)
    if unlabeled.keys() & {"data_root", "data_prefix"}:
        config.pop("ann_file", None)
    unlabeled = dict(unlabeled)
    scored = unlabeled.pop("score_pseudo_labels", False)
    if "data_prefix" in config and not scored:
        config["data_prefix"].pop("seg_map_path", None)
    config["pipeline"] = _hide_ground_truth(config["pipeline"], scored)
    return config | unlabeled


def _hide_ground_truth(pipeline: Iterable[Mapping[str, Any]], scored: bool) -> list[dict[str, Any]]:
    """A pipeline that loads masks only to score pseudo-labels, and tells pixels of the image."""
    steps = []
    for step in pipeline:
        steps += _without(() if scored else GROUND_TRUTH_TRANSFORMS, [step])
        if issubclass(_kind_of(step), LoadAnnotations):
            steps.append(dict(type="MarkImagePixels"))
    if dict(type="MarkImagePixels") in steps:
        steps.append(dict(type="HideGroundTruth"))
    return steps


def strip_ground_truth(pipeline: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A pipeline without what needs ground truth.

    Transforms that load or derive annotations are dropped, also inside wrappers such as
    ``RandomApply``, and ``RandomCrop`` loses its ``cat_max_ratio``.

    Args:
        pipeline: Transform configs, as in a data set's config.

    Returns:
        Transform configs for images that are only predicted.
    """
    return _without(GROUND_TRUTH_TRANSFORMS, pipeline)


def _without(
    dropped: tuple[type, ...], pipeline: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A pipeline without some transforms, and without ``cat_max_ratio``."""
    kept = []
    for step in pipeline:
        kind = _kind_of(step)
        if issubclass(kind, dropped):
            continue
        changed = dict(step)
        if issubclass(kind, RandomCrop):
            changed.pop("cat_max_ratio", None)
        if "transforms" in changed:
            changed["transforms"] = _without_nested(dropped, changed["transforms"])
        kept.append(changed)
    return kept


def _without_nested(dropped: tuple[type, ...], transforms: Any) -> Any:
    """The same for the transforms of a wrapper: one, a list of them, or a list of lists."""
    if isinstance(transforms, Mapping):
        return _without(dropped, [transforms])
    if transforms and isinstance(transforms[0], (list, tuple)):
        return [_without_nested(dropped, inner) for inner in transforms]
    return _without(dropped, transforms)


def _kind_of(step: Mapping[str, Any]) -> type:
    """Class of a transform; ``object`` for what is none, such as a function."""
    kind = TRANSFORMS.get(step["type"]) if isinstance(step["type"], str) else step["type"]
    return kind if isinstance(kind, type) else object
