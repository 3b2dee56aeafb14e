"""Communication between the processes of a distributed training.

Every function is a collective: all ranks must call it at the same point of the step, even with
empty data. With one process, each function returns its input.
"""

from typing import NamedTuple

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


class Gathered(NamedTuple):
    """Rows of all ranks, in the order of the ranks.

    Attributes:
        rows: (K, ...), the same on all ranks.
        own: The rows of this rank.
    """

    rows: Tensor
    own: slice


def gather_rows(rows: Tensor) -> Gathered:
    """Collect the rows (K_r, ...) of all ranks, without gradient; K_r may differ, and may be 0."""
    if get_world_size() == 1:
        return Gathered(rows, slice(0, len(rows)))
    counts = torch.stack(all_gather(torch.tensor(len(rows), device=rows.device))).tolist()
    # Collectives need the same shape everywhere.
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [part[:n] for part, n in zip(all_gather(padded), counts, strict=True)]
    first = sum(counts[: get_rank()])
    return Gathered(torch.cat(parts), slice(first, first + len(rows)))


def sum_over_processes(values: Tensor) -> Tensor:
    """Add up values without gradient, of the same shape and dtype on all ranks."""
    total = values.clone()
    all_reduce(total)
    return total


def show_global_losses(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Show the losses of the global batch in the log of each rank.

    Args:
        losses: Scalars by name, whose mean over the ranks is the loss. All ranks have the same
            names.

    Returns:
        Losses with the value of that mean and with their own gradient.
    """
    if get_world_size() == 1:
        return losses
    shares = torch.stack([loss.detach() for loss in losses.values()])
    means = sum_over_processes(shares) / get_world_size()
    return {
        name: loss - loss.detach() + mean
        for (name, loss), mean in zip(losses.items(), means, strict=True)
    }
