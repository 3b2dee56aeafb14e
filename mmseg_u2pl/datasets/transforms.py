"""Transforms that MMSegmentation lacks."""

from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..models.semi_segmentor import HIDDEN_TRUTH


@TRANSFORMS.register_module()
class HideGroundTruth(BaseTransform):
    """Makes an unlabeled image of a labeled one whose pseudo-labels can still be scored.

    Comes after ``PackSegInputs``. Moves ``gt_sem_seg`` of the data sample to a field that no loss
    reads; :class:`U2PL` logs ``pseudo_label_accuracy`` where it finds it.
    """

    def transform(self, results: dict) -> dict:
        """Hide the ground truth of packed results.

        Args:
            results: ``data_samples`` has a sample with ``gt_sem_seg``.

        Returns:
            The results.
        """
        sample = results["data_samples"]
        setattr(sample, HIDDEN_TRUTH, sample.gt_sem_seg)
        del sample.gt_sem_seg
        return results
