"""Per-class first-in-first-out queues of negatives."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_u2pl.ops import EmbeddingMap, class_counts, normalized_rows
from mmseg_u2pl.ops.chunks import pieces_of
from mmseg_u2pl.utils.distributed import gather_rows
from mmseg_u2pl.utils.options import require_choice, require_count

PAPER_SIZE = 30000
"""Embeddings per class in the paper."""

PAPER_CLASSES = 21
"""Number of classes of VOC, the largest in the paper; up to it, the paper's size is the default."""

DEFAULT_BYTES = 2**28
"""Default total size of all queues with more classes."""


class CategoryMemoryBank(nn.Module):
    """One queue of embeddings per class (U2PL, Eq. 16, Alg. 1).

    All queues are consecutive parts of one buffer, so they can differ in size and are still written
    and read with one index operation. As a buffer, they are saved, resumed and moved to devices
    without further code. A checkpoint only stores the filled part of each queue. In distributed
    training, every process holds the same queues.

    Args:
        num_classes: ``C``.
        embed_dims: ``D``.
        queue_size: Embeddings per class: one number, or a list with one per class. The paper uses
            30,000, and 50,000 for the background of VOC. The default is 30,000 for up to 21
            classes; with more, all queues together take 256 MiB, and each at most 30,000
            embeddings.
        dtype: Data type of the stored embeddings, ``'float16'`` or ``'float32'``. They are
            L2-normalized, so half precision changes a cosine by less than 0.001.

    Raises:
        ValueError: If a size is not positive or the number of sizes is not ``num_classes``.
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
    ) -> None:
        super().__init__()
        require_choice("queue_dtype", dtype, ("float16", "float32"))
        kind = getattr(torch, dtype)
        if queue_size is None:
            queue_size = _default_size(num_classes, embed_dims * kind.itemsize)
        sizes = _sizes(num_classes, queue_size)
        self.sizes = sizes  # a host copy, because reading the buffer would wait for the device
        size = torch.tensor(sizes)
        self.register_buffer("keys", torch.zeros(sum(sizes), embed_dims, dtype=kind))
        self.register_buffer("size", size)
        self.register_buffer("start", size.cumsum(0) - size, persistent=False)
        self.register_buffer("fill", torch.zeros_like(size))
        self.register_buffer("cursor", torch.zeros_like(size))

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Save the filled rows of each queue, which come first in it."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not torch.equal(self.fill, self.size):
            fill = self.fill.tolist()
            # On the CPU, because a GPU may have no memory for a copy.
            filled = [ring[:n].cpu() for ring, n in zip(self._rings(), fill, strict=True)]
            destination[f"{prefix}keys"] = torch.cat(filled)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load the filled rows of each queue, or whole queues saved by early versions."""
        size, keys, fill = (state_dict.get(prefix + name) for name in ("size", "keys", "fill"))
        self._refuse_other_queues(size, keys)
        if keys is not None and fill is not None and len(keys) == fill.sum():
            # Directly into the queues, because a GPU may have no memory for a copy.
            for ring, rows in zip(self._rings(), keys.split(fill.tolist()), strict=True):
                ring[: len(rows)].copy_(rows)  # first, because they may be the same
                ring[len(rows) :].zero_()
            state_dict = {**state_dict, f"{prefix}keys": self.keys}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _refuse_other_queues(self, size: Tensor | None, keys: Tensor | None) -> None:
        """Raise if saved queues do not fit, because embeddings would silently change class."""
        saved: dict[str, Any] = {}
        if size is not None:
            saved |= {"num_classes": len(size), "queue_size": _shortest(size.tolist())}
        if keys is not None:
            saved["projector.embed_dims"] = keys.shape[1]
        own = {
            "num_classes": self.num_classes,
            "queue_size": _shortest(self.sizes),
            "projector.embed_dims": self.keys.shape[1],
        }
        for option, value in saved.items():
            if value != own[option]:
                raise ValueError(
                    f"the checkpoint was saved with {option}={value}, but this model has "
                    f"{option}={own[option]}. To resume that training, restore {option}; "
                    "to start a new training from its weights, export them with "
                    "tools/model_converters/export_segmentor.py"
                )

    def _rings(self) -> Sequence[Tensor]:
        """The rows of :attr:`keys` that belong to each queue, as views."""
        return self.keys.split(self.sizes)

    @property
    def num_classes(self) -> int:
        """Number of queues."""
        return len(self.size)

    @torch.no_grad()
    def enqueue(self, embedding: EmbeddingMap, pixel: Tensor, label: Tensor) -> None:
        """Push embeddings into the queues of their classes, in the given order.

        If there are more embeddings than a queue holds, the last ones are kept. In distributed
        training, each process pushes the embeddings of all ranks, in the order of the ranks. NaN or
        infinite embeddings, as after an overflow in half precision, are skipped.

        Args:
            embedding: Embeddings of N maps of h x w pixels, any floating dtype.
            pixel: (K,), int64, pixels to push, in [0, N * h * w); a pixel may be a negative of
                several classes.
            label: (K,), int64, in [0, C), the queue for each pixel.
        """
        keys = normalized_rows(embedding, self.keys.dtype)
        # NaN and infinite embeddings get a class after the last one, which has no queue.
        label = label.masked_fill(~keys.sum(1).isfinite()[pixel], self.num_classes)
        if get_world_size() > 1:
            keys, pixel, label = _gather_negatives(keys, pixel, label)
        counts = class_counts(label, self.num_classes + 1)[:-1]
        write = self._write_by_class if keys.device.type == "cpu" else self._write_at_once
        write(keys, pixel, label, counts)
        self.cursor.copy_((self.cursor + counts) % self.size)
        self.fill.copy_(torch.minimum(self.fill + counts, self.size))

    def _write_by_class(self, keys: Tensor, pixel: Tensor, label: Tensor, counts: Tensor) -> None:
        """Copy rows of ``keys`` into the queues class by class, which is fast on a CPU.

        Args:
            keys: (P, D), embeddings in the dtype of :attr:`keys`.
            pixel: (K,), int64, rows of ``keys``, the oldest first.
            label: (K,), int64, their classes; ``C`` for rows to skip.
            counts: (C,), int64, number of rows of each class.
        """
        # Both in one copy, because the host waits for the device each time.
        lengths, cursors = torch.stack([counts, self.cursor]).tolist()
        by_class = pixel[label.argsort(stable=True)[: sum(lengths)]].split(lengths)
        for ring, rows, cursor in zip(self._rings(), by_class, cursors, strict=True):
            _write(ring, keys, rows, cursor)

    def _write_at_once(self, keys: Tensor, pixel: Tensor, label: Tensor, counts: Tensor) -> None:
        """Do the same with a few operations for all classes, without waiting for the device.

        Every row is written. A row that a later one of its class overwrites gets the later row's
        value, and a skipped row that of the first row, so that the order of writes does not matter.
        """
        last_class = self.num_classes - 1
        order = label.argsort(stable=True)
        pixel, label = pixel[order], label[order]
        index = torch.arange(len(label), device=label.device)
        index = index.masked_fill(label > last_class, 0)
        is_key = label[index] <= last_class  # False only if all rows are skipped
        label = label[index].clamp(max=last_class)
        first, size = (counts.cumsum(0) - counts)[label], self.size[label]
        age = index - first
        newest = age + (counts[label] - 1 - age) // size * size
        source = pixel[(first + newest).clamp(0, max(len(label) - 1, 0))]
        place = self.start[label] + (self.cursor[label] + age) % size
        for part in pieces_of(len(label), self.keys.shape[1], keys.device):
            row = place[part]
            kept = torch.where(is_key[part, None], keys[source[part]], self.keys[row])
            self.keys.index_copy_(0, row, kept)

    @torch.no_grad()
    def sample(self, classes: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
        """Sample rows of :attr:`keys` from queues, uniformly, with replacement.

        Args:
            classes: (K,), int64, classes whose queues are not empty.
            num_samples: Samples per class.
            generator: Generator on the device of the queues.

        Returns:
            (K, num_samples), int64.
        """
        fill = self.fill[classes, None]
        uniform = torch.rand(
            len(classes), num_samples, device=self.keys.device, generator=generator
        )
        # rand() < 1, but in float32 the product may round up to the fill.
        offset = torch.minimum((uniform * fill).long(), fill - 1)
        return self.start[classes, None] + offset


def _default_size(num_classes: int, bytes_per_key: int) -> int:
    """Embeddings per class: the paper's number, or with many classes as many as fit in 256 MiB."""
    size = max(DEFAULT_BYTES // (num_classes * bytes_per_key), 1)
    if num_classes <= PAPER_CLASSES or size >= PAPER_SIZE:
        return PAPER_SIZE
    now, paper = (n * num_classes * bytes_per_key / 2**20 for n in (size, PAPER_SIZE))
    print_log(
        f"Each of the {num_classes} classes has a queue of {size} embeddings ({now:.0f} MiB in "
        f"total). The paper's {PAPER_SIZE} would take {paper:.0f} MiB; to choose another size, set "
        "model.contrastive_head.queue_size",
        logger="current",
    )
    return size


def _sizes(num_classes: int, queue_size: int | Sequence[int]) -> list[int]:
    """Queue size of each class."""
    sizes = list(queue_size) if isinstance(queue_size, Sequence) else [queue_size] * num_classes
    if len(sizes) != num_classes:
        raise ValueError(
            f"queue_size must be a number or a list of {num_classes}, one per class, "
            f"got {queue_size}"
        )
    for length in sizes:
        require_count("queue_size", length)
    return sizes


def _shortest(sizes: list[int]) -> int | list[int]:
    """The shortest option for these sizes: one number if all are equal."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _write(ring: Tensor, keys: Tensor, rows: Tensor, cursor: int) -> None:
    """Copy rows of ``keys`` into a ring, starting at the cursor; the last ones if not all fit."""
    size = len(ring)
    cursor = (cursor + max(len(rows) - size, 0)) % size
    before_end, from_start = rows[-size:].tensor_split([size - cursor])
    for part, first in ((before_end, cursor), (from_start, 0)):
        # Directly into the ring: an intermediate copy would cost several times as much.
        torch.index_select(keys, 0, part, out=ring[first : first + len(part)])


def _gather_negatives(keys: Tensor, pixel: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, pixels and labels of all ranks; a key is sent once, however many queues it enters."""
    used, pixel = pixel.unique(return_inverse=True)
    keys, own = gather_rows(keys[used])
    pixel, label = gather_rows(torch.stack([pixel + own.start, label], dim=1)).rows.unbind(1)
    return keys, pixel, label
