"""Transforms that MMSegmentation lacks."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS

from mmseg_u2pl.models.batches import HIDDEN_TRUTH, IMAGE_PIXELS

IGNORED = 255
"""What a mask has where there is no class, and most transforms put beside the image."""

UNKNOWN = 254
"""A pixel of the image whose class is not known, between the two transforms."""


@TRANSFORMS.register_module()
class MarkImagePixels(BaseTransform):
    """Gives an unlabeled image a mask that tells its own pixels from those transforms add.

    Comes where ``LoadAnnotations`` comes for labeled images, before any transform that fills up. In
    the mask 254 is a pixel of the image; 0 and 255 are what transforms put beside it. A mask that
    was loaded, to score pseudo-labels, keeps its classes, each one higher; those above 252 cannot
    be scored. :class:`HideGroundTruth` turns it back.
    """

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map``, (H, W), uint8, to ``img``, or change the one that is there."""
        truth = results.get("gt_seg_map")
        if truth is None:
            marks = np.full(results["img"].shape[:2], UNKNOWN, np.uint8)
            results.setdefault("seg_fields", []).append("gt_seg_map")
        else:
            marks = np.where(truth < UNKNOWN - 1, truth + 1, UNKNOWN).astype(np.uint8)
        results["gt_seg_map"] = marks
        return results


@TRANSFORMS.register_module()
class HideGroundTruth(BaseTransform):
    """Makes an unlabeled image of a sample with the mask of :class:`MarkImagePixels`.

    Comes after ``PackSegInputs``. Moves ``gt_sem_seg`` of the data sample to fields that no
    supervised loss reads: pixels that are not of the image get no pseudo-labels, and where a mask
    was loaded and a class is known, :class:`U2PL` logs ``pseudo_label_accuracy``.
    """

    def transform(self, results: dict) -> dict:
        """Hide ``gt_sem_seg`` of the sample in ``data_samples``."""
        sample = results["data_samples"]
        marks = sample.gt_sem_seg.data
        del sample.gt_sem_seg
        own = (marks != 0) & (marks != IGNORED)
        known = own & (marks != UNKNOWN)
        setattr(sample, IMAGE_PIXELS, PixelData(data=own))
        # RandomRotFlip interpolates masks, so without a file there may be values that look known.
        if "seg_map_path" in sample.metainfo and known.any():
            truth = torch.where(known, marks - 1, IGNORED)
            setattr(sample, HIDDEN_TRUTH, PixelData(data=truth))
        return results
