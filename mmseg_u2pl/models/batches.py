"""The labeled and the unlabeled part of a batch."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor

from mmseg_u2pl.ops import MixPlan, mix

IMAGE_PIXELS = "image_pixels"
"""Field of an unlabeled data sample: which pixels belong to the image, bool; absent if all do."""

HIDDEN_TRUTH = "hidden_sem_seg"
"""Field of an unlabeled data sample: ground truth that is only used to score pseudo-labels."""

UNKNOWN_CLASS = 255
"""Value of pixels without a class in :data:`HIDDEN_TRUTH`."""


class LabeledBatch(NamedTuple):
    """Labeled part of a batch.

    Attributes:
        images: (N_l, 3, H, W).
        data_samples: Their samples, each with ``gt_sem_seg``.
        label: (N_l, H, W), int64, ground truth.
    """

    images: Tensor
    data_samples: SampleList
    label: Tensor

    def mixed(self, plan: MixPlan, images: Tensor, label: Tensor) -> "LabeledBatch":
        """The batch after mixing; new samples have the mixed masks, and unchanged edges.

        Args:
            plan: The plan.
            images: Images to paste from, shaped like those of the batch.
            label: Their ground truth.
        """
        label = mix(self.label, plan, label)
        samples = [sample.new() for sample in self.data_samples]
        for sample, mixed in zip(samples, label, strict=True):
            sample.gt_sem_seg = PixelData(data=mixed[None])
        return LabeledBatch(mix(self.images, plan, images), samples, label)


class UnlabeledBatch(NamedTuple):
    """Unlabeled part of a batch.

    Attributes:
        images: (N_u, 3, H, W).
        valid: (N_u, H, W), bool, False for pixels that a transform or the preprocessor added.
        truth: (N_u, H, W), int64, ground truth kept by :class:`HideGroundTruth` to score
            pseudo-labels; None if any image lacks it.
    """

    images: Tensor
    valid: Tensor
    truth: Tensor | None

    def mixed(self, plan: MixPlan) -> "UnlabeledBatch":
        """The batch after mixing; erased pixels are not valid."""
        truth = None if self.truth is None else mix(self.truth, plan)
        return UnlabeledBatch(mix(self.images, plan), mix(self.valid, plan), truth)


def split_batch(
    inputs: Tensor, data_samples: SampleList, ignore_index: int
) -> tuple[LabeledBatch, UnlabeledBatch]:
    """Split a batch into its labeled and unlabeled images.

    Args:
        inputs: (N, 3, H, W), in any order.
        data_samples: Labeled samples have ``gt_sem_seg``, unlabeled ones do not.
        ignore_index: Fills the padding of hidden ground truth.

    Returns:
        The two parts.

    Raises:
        ValueError: If one of the parts is empty.
    """
    labeled = [i for i, sample in enumerate(data_samples) if "gt_sem_seg" in sample]
    unlabeled = [i for i in range(len(data_samples)) if i not in set(labeled)]
    if not labeled or not unlabeled:
        raise ValueError(
            f"a batch must have labeled and unlabeled images, got {len(labeled)} labeled and "
            f"{len(unlabeled)} unlabeled; use SemiDataset with DualStreamSampler and a "
            "batch_size that is a multiple of the sum of its ratio"
        )
    samples = [data_samples[i] for i in labeled]
    others = [data_samples[i] for i in unlabeled]
    label = torch.stack([sample.gt_sem_seg.data[0] for sample in samples]).long()
    return (
        LabeledBatch(torch.stack([inputs[i] for i in labeled]), samples, label),
        UnlabeledBatch(
            torch.stack([inputs[i] for i in unlabeled]),
            _valid_mask(others, inputs),
            _hidden_truth(others, ignore_index),
        ),
    )


def _valid_mask(data_samples: SampleList, images: Tensor) -> Tensor:
    """(N, H, W), bool: False where the preprocessor, or a transform before it, added pixels."""
    height, width = images.shape[-2:]
    valid = torch.zeros(len(data_samples), height, width, dtype=torch.bool, device=images.device)
    for mask, sample in zip(valid, data_samples, strict=True):
        left, right, top, bottom = _padding(sample)
        inside = mask[top : height - bottom, left : width - right]
        inside[:] = sample.get(IMAGE_PIXELS).data[0] if IMAGE_PIXELS in sample else True
    return valid


def _hidden_truth(data_samples: SampleList, ignore_index: int) -> Tensor | None:
    """(N, H, W), int64, hidden ground truth, padded like the images; None if any lacks it.

    Pixels of unknown class and padding get the ``ignore_index``.
    """
    if not all(HIDDEN_TRUTH in sample for sample in data_samples):
        return None
    # The preprocessor pads gt_sem_seg, but not this field.
    padded = [
        F.pad(sample.get(HIDDEN_TRUTH).data[0].long(), _padding(sample), value=UNKNOWN_CLASS)
        for sample in data_samples
    ]
    truth = torch.stack(padded)
    return truth.masked_fill(truth == UNKNOWN_CLASS, ignore_index)


def _padding(data_sample: SegDataSample) -> tuple[int, int, int, int]:
    """Padding by the preprocessor: left, right, top and bottom, in pixels."""
    return data_sample.metainfo.get("padding_size", (0, 0, 0, 0))
