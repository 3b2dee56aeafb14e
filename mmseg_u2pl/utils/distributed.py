"""What the processes of a distributed training tell each other.

Every function here is a collective: all ranks must call it, at the same point of the step, whatever
they have to say. With one process each of them returns what it was given.
"""

from typing import NamedTuple

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


class Gathered(NamedTuple):
    """Rows of all ranks, in the order of the ranks.

    Attributes:
        rows: (K, ...), the same on all ranks.
        own: Which of them are this rank's.
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
    """Let the log of each rank show the losses of the global batch.

    Args:
        losses: Name to (), shares of losses whose mean over the ranks is the loss. The same names
            on all ranks.

    Returns:
        Losses with the value of that mean and the gradient that they had.
    """
    if get_world_size() == 1:
        return losses
    shares = torch.stack([loss.detach() for loss in losses.values()])
    means = sum_over_processes(shares) / get_world_size()
    return {
        name: loss - loss.detach() + mean
        for (name, loss), mean in zip(losses.items(), means, strict=True)
    }
