"""Rules that prefer classes and pixels that a network is unsure of (AEL, Hu et al., NeurIPS 2021).

``confidence`` is (C,), in [0, 1]: the mean probability of the true class of labeled pixels, per
class.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.chunks import sum_with_gradient
from mmseg_u2pl.ops.mixing import MixPlan, paste_next
from mmseg_u2pl.ops.precision import widest_float
from mmseg_u2pl.ops.prediction import with_both_classes
from mmseg_u2pl.ops.resample import resize_logits
from mmseg_u2pl.ops.selection import IGNORE, class_sums


def class_odds(confidence: Tensor, power: float = 1.0) -> Tensor:
    """Probability to draw each class, ``softmax((1 - c)^power)``; it falls with the confidence.

    Args:
        confidence: (C,).
        power: Exponent.

    Returns:
        (C,), adds up to 1.
    """
    return (1.0 - confidence).pow(power).softmax(dim=0)


def keep_chances(confidence: Tensor) -> Tensor:
    """Probability that a pixel supervises, per class: ``(1 - c) / max_k (1 - c_k)``.

    Args:
        confidence: (C,).

    Returns:
        (C,), in [0, 1]; 1 for the class with the lowest confidence.
    """
    doubt = 1.0 - confidence
    return doubt / doubt.max().clamp(min=1e-12)


@torch.no_grad()
def true_class_totals(
    logits: Tensor, target: Tensor, align_corners: bool = False
) -> tuple[Tensor, Tensor]:
    """Per class, the summed probability of the true class of labeled pixels, and their number.

    Pixels with a NaN or infinite logit do not count.

    Args:
        logits: (N, C, h, w), any floating dtype; resized to (H, W).
        target: (N, H, W), int64, in [0, C), or ``IGNORE`` for pixels without a label.
        align_corners: How logits are resized.

    Returns:
        Sums and counts, (C,) each, float64 where the device has it.
    """
    num_classes = max(logits.shape[1], 2)
    dtype = widest_float(logits.device)
    total = torch.zeros(2, num_classes, dtype=dtype, device=logits.device)
    full_size = _full_size(logits, target.shape[-2:], align_corners)
    for logit, label in zip(full_size, target[:, None], strict=True):
        own = logit.gather(1, label.clamp(min=0)[None])[0]
        prob = (own - logit.logsumexp(dim=1)).exp().to(dtype)
        label = label.masked_fill(~prob.isfinite(), IGNORE)
        sums, counts = class_sums(prob[None].nan_to_num(), label, num_classes)
        total += torch.stack([sums[:, 0], counts])
    return total[0], total[1]


@torch.no_grad()
def equalized_pixels(
    logits: Tensor, keep: Tensor, uniform: Tensor, align_corners: bool = False
) -> Tensor:
    """Keep random pixels, fewer of those classes that the network is sure of.

    Args:
        logits: (N, C, h, w), the student's, any floating dtype; resized to (H, W).
        keep: (C,), probability per predicted class; see :func:`keep_chances`.
        uniform: (N, H, W), uniform random numbers in [0, 1).
        align_corners: How logits are resized.

    Returns:
        (N, H, W), bool.
    """
    full_size = _full_size(logits, uniform.shape[-2:], align_corners)
    chance = torch.cat([keep[logit.argmax(dim=1)] for logit in full_size])
    return uniform < chance


def weighted_loss(
    logits: Tensor,
    label: Tensor,
    kept: Tensor,
    weight: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
    align_corners: bool = False,
) -> Tensor:
    """Cross-entropy with pixel weights that add up to 1.

    ``sum over kept of w_ij * l_ij / sum over all of w_ij``: pixels that are not kept have a weight
    but no loss.

    Args:
        logits: (N, C, h, w), the student's, any floating dtype; resized to (H, W).
        label: (N, H, W), int64, in [0, C).
        kept: (N, H, W), bool.
        weight: (N, H, W), float32 or float64, not negative.
        add_up: Sums a tensor over all processes that share a batch; the default is for one process.
        align_corners: How logits are resized.

    Returns:
        (), 0 if all weights are 0. The sum over the processes is the loss of their batch.
    """

    def image_loss(logits: Tensor, given: tuple[Tensor, Tensor]) -> Tensor:
        target, weight = given
        full_size = next(_full_size(logits[None], target.shape, align_corners))
        loss = F.cross_entropy(full_size, target[None], ignore_index=-100, reduction="none")
        return (loss * weight.to(loss)).sum()

    target = label.masked_fill(~kept, -100)
    # Image by image with its gradient, so that nothing at full size is kept for the backward pass.
    loss = sum_with_gradient(image_loss, logits, enumerate(zip(target, weight, strict=True)))
    total = add_up(weight.sum(dtype=widest_float(weight.device))).to(loss)
    return loss / total.clamp(min=1e-12)


def paste_plan(
    label: Tensor, odds: Tensor, num_classes: int, prob: float, generator: torch.Generator
) -> MixPlan:
    """Paste the pixels of some classes from the next image of the batch: adaptive copy-paste.

    The classes are drawn once for the batch, with replacement, whether an image shows them or not.

    Args:
        label: (N, H, W), int64, ground truth.
        odds: (C,), relative probabilities of the classes, not negative and not all 0, on the
            device of ``label``.
        num_classes: Number of classes to draw.
        prob: Share of the images to paste into, in [0, 1].
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``.
    """
    # The largest quotient of odds and exponential noise is a draw that needs no odds on the host.
    noise = torch.empty(num_classes, len(odds)).exponential_(generator=generator)
    classes = (odds / noise.to(odds.device)).argmax(dim=1)
    gets = torch.rand(len(label), 1, 1, generator=generator) < prob
    plan = paste_next(torch.isin(label, classes))
    return plan._replace(mask=plan.pasted(plan.mask) & gets.to(label.device))


def _full_size(logits: Tensor, size: torch.Size, align_corners: bool) -> Iterator[Tensor]:
    """Image by image, (1, max(C, 2), H, W), float32 or float64."""
    for image in logits:
        yield with_both_classes(resize_logits(image[None], size, align_corners))
