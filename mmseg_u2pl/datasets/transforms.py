"""Transforms that MMSegmentation lacks."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS

from mmseg_u2pl.models.batches import HIDDEN_TRUTH, IMAGE_PIXELS, UNKNOWN_CLASS

PADDING = (0, 255)
"""Mask values of pixels outside the image, between the two transforms below."""

UNKNOWN_MARK = 254
"""Mask value of image pixels of unknown class, between them."""


@TRANSFORMS.register_module()
class MarkImagePixels(BaseTransform):
    """Gives an unlabeled image a mask that marks which pixels belong to the image.

    Place it where ``LoadAnnotations`` is for labeled images, before any transform that pads. In the
    mask, 254 is a pixel of the image; 0 and 255 are padding. A mask that was loaded to score
    pseudo-labels keeps its classes, increased by one; classes above 252 cannot be scored.
    :class:`HideGroundTruth` reverts this.
    """

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map``, (H, W), uint8, or change the existing one."""
        truth = results.get("gt_seg_map")
        if truth is None:
            marks = np.full(results["img"].shape[:2], UNKNOWN_MARK, np.uint8)
            results.setdefault("seg_fields", []).append("gt_seg_map")
        else:
            marks = np.where(truth < UNKNOWN_MARK - 1, truth + 1, UNKNOWN_MARK).astype(np.uint8)
        results["gt_seg_map"] = marks
        return results


@TRANSFORMS.register_module()
class HideGroundTruth(BaseTransform):
    """Turns a sample with the mask of :class:`MarkImagePixels` into an unlabeled one.

    Place it after ``PackSegInputs``. It moves ``gt_sem_seg`` of the data sample to fields that no
    supervised loss reads. Pixels outside the image get no pseudo-labels. If a mask was loaded, the
    log has the ``pseudo_label_accuracy`` of the pixels whose class is known.
    """

    def transform(self, results: dict) -> dict:
        """Hide ``gt_sem_seg`` of the sample in ``data_samples``."""
        sample = results["data_samples"]
        marks = sample.gt_sem_seg.data
        del sample.gt_sem_seg
        own = ~torch.isin(marks, marks.new_tensor(PADDING))
        known = own & (marks != UNKNOWN_MARK)
        setattr(sample, IMAGE_PIXELS, PixelData(data=own))
        # RandomRotFlip interpolates masks, so unloaded masks may have values that look known.
        if "seg_map_path" in sample.metainfo and known.any():
            truth = torch.where(known, marks - 1, UNKNOWN_CLASS)
            setattr(sample, HIDDEN_TRUTH, PixelData(data=truth))
        return results
