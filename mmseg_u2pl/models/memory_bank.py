"""Category-wise first-in-first-out queues of negatives."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmseg_u2pl.ops import EmbeddingMap, class_counts, normalized_rows
from mmseg_u2pl.utils.distributed import gather_rows
from mmseg_u2pl.utils.options import require_choice, require_count

PAPER_SIZE = 30000
"""Embeddings a class, unless something else is asked for."""


class CategoryMemoryBank(nn.Module):
    """One queue of embeddings a class (U2PL, Eq. 16, Alg. 1).

    All queues lie one behind the other in one buffer, so that they may differ in size and are still
    written and read with one index operation. Queues are buffers: checkpoints, resuming and moves
    between devices need nothing else. A checkpoint has of each queue what is filled. In distributed
    training every process holds the same queues.

    Args:
        num_classes: ``C``.
        embed_dims: ``D``.
        queue_size: Embeddings a class, or one number a class (the paper: 30,000, and 50,000 for
            the background of VOC). By default 30,000.
        budget: Bytes of all queues together, in place of ``queue_size``: each class gets the same
            number of embeddings, as many as there is room for.
        dtype: Of the stored embeddings, ``'float16'`` or ``'float32'``. They are L2-normalised, so
            half precision changes a cosine by less than 0.001.

    Raises:
        ValueError: If sizes are not positive or their number is not ``num_classes``, or if both
            ``queue_size`` and ``budget`` are given.
    """

    keys: Tensor
    size: Tensor
    start: Tensor
    fill: Tensor
    cursor: Tensor

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        queue_size: int | Sequence[int] | None = None,
        dtype: str = "float16",
        budget: int | None = None,
    ) -> None:
        super().__init__()
        require_choice("queue_dtype", dtype, ("float16", "float32"))
        if budget is None:
            sizes = _sizes(num_classes, PAPER_SIZE if queue_size is None else queue_size)
        elif queue_size is None:
            sizes = _sizes_within(budget, num_classes, embed_dims * getattr(torch, dtype).itemsize)
        else:
            raise ValueError(
                f"queue_size={queue_size} and queue_budget={budget} cannot both be given; "
                "leave one of them out, or set it to None"
            )
        self.sizes = sizes  # reading the buffer would make the host wait for the device
        size = torch.tensor(sizes)
        self.register_buffer(
            "keys", torch.zeros(sum(sizes), embed_dims, dtype=getattr(torch, dtype))
        )
        self.register_buffer("size", size)
        self.register_buffer("start", size.cumsum(0) - size, persistent=False)
        self.register_buffer("fill", torch.zeros_like(size))
        self.register_buffer("cursor", torch.zeros_like(size))

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Save of each queue the rows that are filled, which are its first ones."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not torch.equal(self.fill, self.size):
            filled = [ring[:n] for ring, n in zip(self._rings(), self.fill.tolist(), strict=True)]
            destination[f"{prefix}keys"] = torch.cat(filled)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse queues of other sizes: embeddings would silently change their class."""
        saved, keys, fill = (state_dict.get(prefix + name) for name in ("size", "keys", "fill"))
        if saved is not None and len(saved) != self.num_classes:
            raise ValueError(
                f"the checkpoint is of a model with {len(saved)} classes, and this one has "
                f"{self.num_classes}; to start from the weights that fit, export them with "
                "tools/model_converters/export_segmentor.py"
            )
        if keys is not None and keys.shape[1] != self.keys.shape[1]:
            raise ValueError(
                f"the checkpoint's embeddings have {keys.shape[1]} dimensions, and those of this "
                f"model {self.keys.shape[1]}; to go on with that training set "
                "projector.embed_dims as it was, to start another one from its weights export "
                "them with tools/model_converters/export_segmentor.py"
            )
        if saved is not None and not torch.equal(saved.cpu(), self.size.cpu()):
            raise ValueError(
                f"the checkpoint's queues hold {saved.tolist()} embeddings a class, and those of "
                f"this model {self.sizes}; to go on with that training set queue_size as it was, "
                "to start another one from its weights export them with "
                "tools/model_converters/export_segmentor.py"
            )
        if keys is not None and fill is not None and len(keys) == fill.sum():
            whole = torch.zeros_like(self.keys)
            rings = whole.split(self.sizes)
            for ring, rows in zip(rings, keys.split(fill.tolist()), strict=True):
                ring[: len(rows)] = rows
            state_dict[f"{prefix}keys"] = whole
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _rings(self) -> Sequence[Tensor]:
        """The rows of :attr:`keys` that each queue has, as views."""
        return self.keys.split(self.sizes)

    @property
    def num_classes(self) -> int:
        """Number of queues."""
        return len(self.size)

    @torch.no_grad()
    def enqueue(self, embedding: EmbeddingMap, pixel: Tensor, label: Tensor) -> None:
        """Push embeddings into the queues of their classes, in the order they are given.

        Of more embeddings than a queue holds, the last ones stay. Processes of a distributed
        training push the embeddings of all ranks, in the order of the ranks. Embeddings that are
        NaN or infinite, as after an overflow in half precision, are left out.

        Args:
            embedding: Embeddings of N maps of h x w pixels, any floating dtype.
            pixel: (K,), int64, pixels to push, in [0, N * h * w); one may be a negative of several
                classes.
            label: (K,), int64, in [0, C), the queue that each goes into.
        """
        keys = normalized_rows(embedding, self.keys.dtype)
        # What is no number goes to a class after the last, which has no queue.
        label = label.masked_fill(~keys.sum(1).isfinite()[pixel], self.num_classes)
        if get_world_size() > 1:
            keys, pixel, label = _gather_negatives(keys, pixel, label)
        counts = class_counts(label, self.num_classes + 1)[:-1]
        # Both at once, for each time the host waits for the device.
        lengths, cursors = torch.stack([counts, self.cursor]).tolist()
        by_class = pixel[label.argsort(stable=True)[: sum(lengths)]].split(lengths)
        for ring, rows, cursor in zip(self._rings(), by_class, cursors, strict=True):
            _write(ring, keys, rows, cursor)
        self.cursor.copy_((self.cursor + counts) % self.size)
        self.fill.copy_(torch.minimum(self.fill + counts, self.size))

    @torch.no_grad()
    def draw(self, classes: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draw rows of :attr:`keys` from queues, uniformly, with replacement.

        Args:
            classes: (K,), int64, classes whose queues are not empty.
            num_samples: Draws a class.
            generator: On the device of the queues.

        Returns:
            (K, num_samples), int64.
        """
        fill = self.fill[classes, None]
        uniform = torch.rand(
            len(classes), num_samples, device=self.keys.device, generator=generator
        )
        # rand() < 1, but the product may round up to the fill itself in float32.
        offset = torch.minimum((uniform * fill).long(), fill - 1)
        return self.start[classes, None] + offset


def _sizes(num_classes: int, queue_size: int | Sequence[int]) -> list[int]:
    """Embeddings of each class."""
    sizes = list(queue_size) if isinstance(queue_size, Sequence) else [queue_size] * num_classes
    if len(sizes) != num_classes:
        raise ValueError(
            f"queue_size must be a number or {num_classes} of them, one a class, got {queue_size}"
        )
    for length in sizes:
        require_count("queue_size", length)
    return sizes


def _sizes_within(budget: int, num_classes: int, bytes_of_key: int) -> list[int]:
    """As many embeddings of each class as fit into so many bytes."""
    require_count("queue_budget", budget)
    size = budget // (num_classes * bytes_of_key)
    if size == 0:
        raise ValueError(
            f"queue_budget={budget} has no room for an embedding of each of {num_classes} classes; "
            f"give at least {num_classes * bytes_of_key} bytes"
        )
    return [size] * num_classes


def _write(ring: Tensor, keys: Tensor, rows: Tensor, cursor: int) -> None:
    """Copy rows of ``keys`` into a ring from the cursor on, the last ones if not all fit."""
    size = len(ring)
    cursor = (cursor + max(len(rows) - size, 0)) % size
    before_end, from_start = rows[-size:].tensor_split([size - cursor])
    for part, first in ((before_end, cursor), (from_start, 0)):
        # Straight into the ring: a copy on the way would cost several times as much.
        torch.index_select(keys, 0, part, out=ring[first : first + len(part)])


def _gather_negatives(keys: Tensor, pixel: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, pixels and labels of all ranks; a key travels once, however many queues it enters."""
    used, pixel = pixel.unique(return_inverse=True)
    keys, own = gather_rows(keys[used])
    pixel, label = gather_rows(torch.stack([pixel + own.start, label], dim=1)).rows.unbind(1)
    return keys, pixel, label
