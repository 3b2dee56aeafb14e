"""Derives the config of unlabeled images from that of the labeled images, or checks it."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from mmcv.transforms import CenterCrop, LoadAnnotations, Pad
from mmengine.dataset import BaseDataset
from mmseg.datasets.transforms import (
    GenerateEdge,
    LoadBiomedicalAnnotation,
    RandomCrop,
    RandomCutOut,
    RandomRotate,
    RandomRotFlip,
)
from mmseg.registry import TRANSFORMS

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.transforms import PADDING, HideGroundTruth, MarkImagePixels

GROUND_TRUTH_TRANSFORMS = (LoadAnnotations, LoadBiomedicalAnnotation, GenerateEdge)
"""Transforms that load or need ground truth, which unlabeled images do not have."""


def complete_unlabeled(labeled: Mapping[str, Any], unlabeled: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the config of an unlabeled data set.

    A config with a ``type`` is complete. Otherwise, missing keys are taken from the labeled config,
    except those that select images: ``indices``, and the list if the images are elsewhere. Masks
    are removed from ``data_prefix`` and from the pipeline. With ``score_pseudo_labels=True`` they
    are read and hidden instead. Either way, pixels that transforms add to the image are marked; see
    :class:`MarkImagePixels`.

    Args:
        labeled: Config of the labeled data set.
        unlabeled: Config of the unlabeled data set, or only the keys that differ.

    Returns:
        The complete config.

    Raises:
        DataError: The labeled config wraps other data sets, so no keys can be taken from it.
    """
    if "type" in unlabeled:
        return dict(unlabeled)
    if "pipeline" not in labeled or "datasets" in labeled:
        raise DataError(
            f"unlabeled: the config has no type, and the labeled config ({labeled.get('type')}) "
            "has no pipeline to derive one from. Set a complete config for unlabeled, with a type."
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
    """A pipeline that marks image pixels, and loads masks only to score pseudo-labels."""
    steps = []
    for step in pipeline:
        steps += _without(() if scored else GROUND_TRUTH_TRANSFORMS, [step])
        if issubclass(_kind_of(step), LoadAnnotations):
            steps.append(dict(type="MarkImagePixels"))
    if dict(type="MarkImagePixels") in steps:
        steps.append(dict(type="HideGroundTruth"))
    return steps


def strip_ground_truth(pipeline: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A pipeline for prediction, without anything that needs ground truth.

    Transforms that load or derive annotations are removed, even inside wrappers such as
    ``RandomApply``, and ``RandomCrop`` loses its ``cat_max_ratio``.
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
    """:func:`_without` for the transforms of a wrapper: one, a list of them, or a list of lists."""
    if isinstance(transforms, Mapping):
        return _without(dropped, [transforms])
    if transforms and isinstance(transforms[0], (list, tuple)):
        return [_without_nested(dropped, inner) for inner in transforms]
    return _without(dropped, transforms)


def _kind_of(step: Mapping[str, Any]) -> type:
    """Class of a transform; ``object`` for anything else, such as a function."""
    kind = TRANSFORMS.get(step["type"]) if isinstance(step["type"], str) else step["type"]
    return kind if isinstance(kind, type) else object


def check_unlabeled_pipeline(dataset: BaseDataset, stream: str = "unlabeled") -> None:
    """Check that no transform of a pipeline, even inside a wrapper, needs ground truth or pads.

    Annotations may be loaded if :class:`HideGroundTruth` hides them. Padding of a labeled image has
    no label, but padding of an unlabeled image would get a pseudo-label, unless
    :class:`MarkImagePixels` marks the pixels of the image.

    Raises:
        DataError: A transform does; the message names it and says what to do.
    """
    steps = list(_walk(dataset.pipeline.transforms))
    hides = any(isinstance(step, HideGroundTruth) for step in steps)
    marked = False
    for step in steps:
        name = type(step).__name__
        marked |= hides and isinstance(step, MarkImagePixels)
        if isinstance(step, GROUND_TRUTH_TRANSFORMS) and not hides:
            raise DataError(
                f"{stream}: the pipeline has {name}, but unlabeled images have no ground truth. "
                "Remove it from this pipeline."
            )
        if isinstance(step, RandomCrop) and step.cat_max_ratio < 1:
            raise DataError(
                f"{stream}: {name} with cat_max_ratio={step.cat_max_ratio} needs ground truth, "
                "which unlabeled images do not have. Remove cat_max_ratio from this pipeline."
            )
        fill = _mask_fill(step)
        if fill is not None and not marked:
            raise DataError(
                f"{stream}: the pipeline has {name}, whose padding would get pseudo-labels. Put "
                "MarkImagePixels before it, in place of LoadAnnotations, and HideGroundTruth "
                "after PackSegInputs. A config without a type gets both."
            )
        if fill not in (None, *PADDING):
            raise DataError(
                f"{stream}: {name} pads masks with {fill}, but here padding must be 255, whatever "
                "the ignore_index. Give unlabeled a pipeline of its own, with 255."
            )


def _walk(steps: Iterable[Any]) -> Iterator[Any]:
    """Yield transforms, and those inside wrappers such as RandomApply and RandomChoice."""
    for step in steps:
        yield step
        yield from _walk(getattr(step, "transforms", ()))


def _mask_fill(step: Any) -> int | None:
    """Mask value of the pixels that a transform adds or paints over; None if it does neither."""
    if isinstance(step, CenterCrop) and step.auto_pad:
        step = TRANSFORMS.build({**step.pad_cfg, "size": step.crop_size})
    if isinstance(step, Pad):
        return step.pad_val.get("seg", 255)
    if isinstance(step, RandomRotate):
        return step.seg_pad_val
    if isinstance(step, RandomCutOut):
        return step.seg_fill_in
    return 0 if isinstance(step, RandomRotFlip) else None
