"""Queues of a memory bank, filled with embeddings that can be told apart."""

import torch

from mmseg_u2pl.ops import EmbeddingMap

UNIT = torch.eye(8)
"""Row i points along axis i."""


def queue_of(bank, c):
    """Embeddings in the queue of a class, the oldest first."""
    size, fill, cursor = (int(values[c]) for values in (bank.size, bank.fill, bank.cursor))
    start = int(bank.start[c])
    ring = bank.keys[start : start + size].double()
    return ring.roll(-cursor, dims=0) if fill == size else ring[:fill]


def axes_in(bank, c):
    """Rows of UNIT in the queue of a class, the oldest first."""
    return queue_of(bank, c).argmax(dim=1).tolist()


def as_map(rows):
    """(P, D) embeddings as a map (1, D, P, 1)."""
    return EmbeddingMap(rows.T[None, :, :, None])


def push(bank, pixel, label):
    bank.enqueue(as_map(UNIT), torch.tensor(pixel).long(), torch.tensor(label).long())
