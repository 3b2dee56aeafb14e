"""Transforms that MMSegmentation lacks."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS

from ..models.semi_segmentor import HIDDEN_TRUTH, IMAGE_PIXELS

FILLED = 255
"""What ``Pad`` and ``RandomRotate`` put into a mask where they put pixels beside the image."""

UNKNOWN = 254
"""Stands for a pixel of the image whose class nobody knows, until :class:`HideGroundTruth`."""


@TRANSFORMS.register_module()
class MarkImagePixels(BaseTransform):
    """Gives an unlabeled image a mask that tells its own pixels from those transforms add.

    Comes where ``LoadAnnotations`` comes for labeled images. Whatever is not the mask's 254 at the
    end of the pipeline is not of the image, and :class:`HideGroundTruth` notes it. A mask that was
    loaded, to score pseudo-labels, stays, but for its own 255, which become 254; there only what is
    255 in the end is not of the image, and class 254 cannot be scored.
    """

    def transform(self, results: dict) -> dict:
        """Add a mask, or change the one that is there.

        Args:
            results: With ``img``, (H, W, 3) or (H, W), and perhaps ``gt_seg_map``, (H, W).

        Returns:
            The results with ``gt_seg_map``.
        """
        truth = results.get("gt_seg_map")
        if truth is None:
            results["gt_seg_map"] = np.full(results["img"].shape[:2], UNKNOWN, np.uint8)
            results.setdefault("seg_fields", []).append("gt_seg_map")
        else:
            truth[truth == FILLED] = UNKNOWN
        return results


@TRANSFORMS.register_module()
class HideGroundTruth(BaseTransform):
    """Makes an unlabeled image of a sample with the mask of :class:`MarkImagePixels`.

    Comes after ``PackSegInputs``. Moves ``gt_sem_seg`` of the data sample to fields that no
    supervised loss reads: pixels that are not of the image get no pseudo-labels, and where the
    truth is known, :class:`U2PL` logs ``pseudo_label_accuracy``.

    Args:
        known: Whether the mask says more than which pixels are of the image.
    """

    def __init__(self, known: bool = True) -> None:
        self.known = known

    def transform(self, results: dict) -> dict:
        """Hide the ground truth of packed results.

        Args:
            results: ``data_samples`` has a sample with ``gt_sem_seg``.

        Returns:
            The results.
        """
        sample = results["data_samples"]
        mask = sample.gt_sem_seg.data
        del sample.gt_sem_seg
        own = mask != FILLED if self.known else mask == UNKNOWN
        setattr(sample, IMAGE_PIXELS, PixelData(data=own))
        if self.known:
            truth = mask.masked_fill(mask == UNKNOWN, FILLED)
            setattr(sample, HIDDEN_TRUTH, PixelData(data=truth))
        return results
