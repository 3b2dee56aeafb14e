"""Perturbation of features: what the student must do without."""

import torch
from torch import Tensor


def drop_channels(features: Tensor, first: int, prob: float, generator: torch.Generator) -> Tensor:
    """Set channels of a feature to 0 and scale the others up, for the last images of a batch.

    Channel dropout as a perturbation (UniMatch, Yang et al., CVPR 2023).

    Args:
        features: (N, C, h, w), floating, or (N, C) as the class token of a transformer.
        first: Index of the first image that is perturbed; those before it stay as they are.
        prob: Share of the channels that are dropped, in [0, 1).
        generator: CPU generator.

    Returns:
        As ``features``.
    """
    shape = features.shape[0] - first, features.shape[1], *[1] * (features.dim() - 2)
    kept = torch.rand(shape, generator=generator).to(features.device) >= prob
    scale = features.new_ones(len(features), *shape[1:])
    scale[first:] = kept / (1.0 - prob)
    return features * scale
