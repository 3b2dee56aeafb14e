"""The dtype that losses and entropies are computed in."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; float64 stays, so that gradients can be checked.

    Args:
        values: Any shape, any floating dtype.

    Returns:
        The same values.
    """
    return values if values.dtype == torch.float64 else values.float()
