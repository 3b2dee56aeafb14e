"""Perturbation of features by dropping channels."""

from collections.abc import Callable

import torch
from torch import Tensor


def drop_channels(features: Tensor, first: int, prob: float, generator: torch.Generator) -> Tensor:
    """Set channels of a feature map to 0 and scale up the others, for the last images of a batch.

    Channel dropout as a perturbation (UniMatch, Yang et al., CVPR 2023).

    Args:
        features: (N, C, h, w), floating, or (N, C) such as the class token of a transformer.
        first: Index of the first perturbed image; earlier ones are unchanged.
        prob: Share of dropped channels, in [0, 1).
        generator: CPU generator.

    Returns:
        Same shape and dtype as ``features``.
    """
    shape = features.shape[0] - first, features.shape[1], *[1] * (features.dim() - 2)
    kept = torch.rand(shape, generator=generator).to(features.device) >= prob
    scale = features.new_ones(len(features), *shape[1:])
    scale[first:] = kept / (1.0 - prob)
    return features * scale


def complementary_dropout(
    num_images: int, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Draw complementary channel masks for two views of the same images.

    Complementary dropout (UniMatch V2, Yang et al., TPAMI 2025). View 1 is multiplied by ``m`` and
    view 2 by ``2 - m``, where ``m`` is 0 or 2 with equal probability for each channel of each
    image. A random half of the images, rounded down, keeps all channels in both views.

    Maps of the same width share a mask, like V2's four maps of a vision transformer. Pyramid levels
    of different widths cannot share one, so each width has its own; this is our choice.

    Args:
        num_images: n.
        generator: CPU generator, used until the last map is processed.

    Returns:
        Function to apply to each map (2n, C, h, w), or (2n, C) such as the class token of a
        transformer: the images of view 1, then those of view 2.
    """
    untouched = torch.randperm(num_images, generator=generator)[: num_images // 2]
    masks: dict[int, Tensor] = {}

    def perturb(features: Tensor) -> Tensor:
        width = features.shape[1]
        if width not in masks:
            kept = torch.rand(num_images, width, generator=generator) < 0.5
            mask = 2.0 * kept.float()
            mask[untouched] = 1.0
            masks[width] = torch.cat([mask, 2.0 - mask]).to(features.device)
        mask = masks[width].to(features.dtype)  # under autocast, maps may differ in dtype
        return features * mask.view(-1, width, *[1] * (features.dim() - 2))

    return perturb
