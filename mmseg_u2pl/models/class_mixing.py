"""Mixing that prefers classes that the student is unsure of (AEL, Hu et al., NeurIPS 2021)."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmseg_u2pl.models.batches import LabeledBatch
from mmseg_u2pl.ops import MixPlan, class_odds, cutmix_plan, inside_boxes, paste_plan, zoom
from mmseg_u2pl.utils.options import require_count, require_share

Item = TypeVar("Item")


class AdaptiveCopyPaste:
    """Pastes objects from one labeled image into another.

    The classes are drawn from ``softmax((1 - c)^0.5)``, once for all images of a step, whether an
    image shows them or not. The source image is scaled, and all pixels of these classes are pasted.

    Args:
        prob: Share of the images to paste into, in [0, 1].
        num_classes: Number of classes to draw, with replacement.
        scale: Bounds of the scale factor of the source image, around 1; see :func:`.zoom`.
        never: Classes that are not drawn. The authors' code excludes 0, 1, 2, 8 and 10: road,
            sidewalk, building, vegetation and sky of Cityscapes.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        num_classes: int = 3,
        scale: tuple[float, float] = (0.1, 2.0),
        never: Sequence[int] = (),
    ) -> None:
        require_share("copy_paste.prob", prob)
        if not (len(scale) == 2 and 0 < scale[0] <= 1 <= scale[1]):
            raise ValueError(f"copy_paste.scale must be two factors around 1, got {scale}")
        require_count("copy_paste.num_classes", num_classes)
        for index in never:
            require_count("copy_paste.never", index, minimum=0)
        self.prob = prob
        self.num_classes = num_classes
        self.scale = scale
        self.never = list(never)

    def __call__(
        self, labeled: LabeledBatch, confidence: Tensor, generator: torch.Generator
    ) -> LabeledBatch:
        """Paste from each image into the previous one.

        Args:
            labeled: The images and their ground truth.
            confidence: (C,), of each class, in [0, 1].
            generator: CPU generator.

        Returns:
            The mixed batch.
        """
        images, label = zoom(labeled.images, labeled.label, self.scale, generator)
        odds = class_odds(confidence, power=0.5)
        odds[self.never] = 0.0
        plan = paste_plan(label, odds, self.num_classes, self.prob, generator)
        return labeled.mixed(plan, images, label)


class AdaptiveCutMix:
    """Pastes the bounding box of a region of a class from one unlabeled image into another.

    For each image, it draws a class from ``softmax(1 - c)``, an image of the batch that shows the
    class, and one of the class's regions in that image. If no other image shows the class, it draws
    any other image; if no region is large enough, it uses the box of :func:`.cutmix_plan`. The
    authors' code draws from all images in which the teacher has seen the class, this one from the
    batch of the process.

    Args:
        min_area: Minimum share of an image's pixels with the class for the image to be drawn.
        min_region: Share of an image's pixels that a region must exceed.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(self, min_area: float = 0.01, min_region: float = 0.005) -> None:
        require_share("cutmix.min_area", min_area)
        require_share("cutmix.min_region", min_region)
        self.min_area = min_area
        self.min_region = min_region

    def __call__(self, label: Tensor, confidence: Tensor, generator: torch.Generator) -> MixPlan:
        """Draw a plan.

        Args:
            label: (N, H, W), int64, pseudo-labels; -1 for pixels that belong to no region.
            confidence: (C,), of each class, in [0, 1].
            generator: CPU generator.

        Returns:
            The plan, on the device of ``label``.
        """
        plan = cutmix_plan(label, generator)
        count = len(label)
        odds = class_odds(confidence).cpu()
        classes = torch.multinomial(odds, count, replacement=True, generator=generator).tolist()
        uniform = torch.rand(count, 2, generator=generator).tolist()
        # Regions are computed on the host.
        shown = label.to(torch.int16).cpu().numpy()
        if plan.mirrored:  # for a single image: paste from its mirror image
            shown = shown[..., ::-1]
        # The first count is that of -1.
        counts = [np.bincount(image.ravel() + 1, minlength=len(odds) + 1) for image in shown]
        areas = np.stack(counts)[:, 1:] / shown[0].size
        partners, boxes = [], torch.zeros(count, 4)
        found = torch.zeros(count, 1, 1, dtype=torch.bool)
        for image, (index, (first, second)) in enumerate(zip(classes, uniform, strict=True)):
            others = [i for i in range(count) if i != image] or [image]
            showing = [i for i in others if areas[i, index] >= self.min_area]
            partners.append(_pick(showing or others, first))
            regions = region_boxes(shown[partners[-1]] == index, self.min_region)
            if regions:
                boxes[image] = torch.tensor(_pick(regions, second))
                found[image] = True
        mask = inside_boxes(label, boxes).where(found.to(label.device), plan.mask)
        return plan._replace(mask=mask, partner=torch.tensor(partners, device=label.device))


def region_boxes(mask: NDArray[np.bool_], min_share: float) -> list[tuple[int, int, int, int]]:
    """Bounding boxes of the connected regions of a mask; diagonal neighbors are connected.

    Args:
        mask: (H, W).
        min_share: Share of the mask's size that the pixels of a region must exceed.

    Returns:
        First row, row after the last, first column, and column after the last of each region.
    """
    *_, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    regions = statistics[1:]  # the first is the background
    large = regions[regions[:, cv2.CC_STAT_AREA] > min_share * mask.size]
    return [
        (int(top), int(top + height), int(left), int(left + width))
        for left, top, width, height, _ in large
    ]


def _pick(items: Sequence[Item], uniform: float) -> Item:
    """Pick an item by a number in [0, 1)."""
    return items[min(int(uniform * len(items)), len(items) - 1)]
