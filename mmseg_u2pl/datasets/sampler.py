"""The order in which labeled and unlabeled images are drawn."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmseg_u2pl.datasets.draws import Draw
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


@DATA_SAMPLERS.register_module()
class DualStreamSampler(Sampler[int]):
    """Draws from the labeled and the unlabeled stream in a fixed ratio.

    The indices repeat a period of ``ratio[0]`` labeled and then ``ratio[1]`` unlabeled images. So
    every batch whose size is a multiple of ``sum(ratio)`` has this ratio. The batch size is only
    set in the dataloader.

    Each stream is drawn in passes. A pass is a permutation of the stream's images, so each image
    is drawn once per pass. The two streams may have different sizes. All ranks share the draws:
    draw k of a stream goes to rank ``k % world_size``. A draw is a pure function of the seed, the
    stream and k, so resuming is exact and costs nothing (:meth:`skip`). An index is a
    :class:`Draw`, which makes the augmentation repeatable too.

    With ``infinite=False``, an epoch is one pass over the stream that needs more periods. The next
    epoch continues where it ended, so the pass of the other stream is not cut short.

    Args:
        dataset: The data set to draw from.
        ratio: Labeled and unlabeled images in a period, both positive.
        shuffle: Whether a pass is a random permutation, or the order of the list.
        infinite: Whether to draw without end, for ``IterBasedTrainLoop``; False for
            ``EpochBasedTrainLoop``.
        seed: Seed of the permutations, not negative, the same on all ranks. None draws one for
            all ranks.

    Raises:
        TypeError: ``dataset`` is not a :class:`SemiDataset`.
        ValueError: ``ratio`` is not two positive integers.
    """

    def __init__(
        self,
        dataset: SemiDataset,
        ratio: Sequence[int] = (1, 1),
        shuffle: bool = True,
        infinite: bool = True,
        seed: int | None = None,
    ) -> None:
        if not isinstance(dataset, SemiDataset):
            raise TypeError(
                "DualStreamSampler needs a SemiDataset, got "
                f"{type(dataset).__name__}. Set train_dataloader.dataset=dict(type='SemiDataset', "
                "labeled=..., unlabeled=...), without num_batch_per_epoch."
            )
        pair = isinstance(ratio, Sequence) and len(ratio) == 2
        if not pair or not all(isinstance(part, int) and part > 0 for part in ratio):
            raise ValueError(
                "DualStreamSampler: ratio must be two positive integers (labeled, unlabeled), "
                f"got {ratio!r}."
            )
        self.ratio = tuple(ratio)
        self.shuffle = shuffle
        self.infinite = infinite
        self.seed = sync_random_seed() if seed is None else seed
        self._rank, self._world_size = get_dist_info()
        self._sizes = (dataset.num_labeled, dataset.num_unlabeled)
        self._epoch = 0
        self._skipped = 0

    def __iter__(self) -> Iterator[Draw]:
        """Yield this rank's indices into the data set."""
        start = self._epoch * len(self) + self._skipped
        end = (self._epoch + 1) * len(self)
        # Two orders are in use at any time, one per stream.
        order = lru_cache(maxsize=2)(self._order)
        for position in count(start) if self.infinite else range(start, end):
            period, slot = divmod(position, sum(self.ratio))
            stream = int(slot >= self.ratio[0])
            draw = period * self.ratio[stream] + slot - stream * self.ratio[0]
            draw = draw * self._world_size + self._rank
            number, place = divmod(draw, self._sizes[stream])
            index = int(order(stream, number)[place]) + stream * self._sizes[0]
            yield Draw(index, self.seed, stream, draw)

    def __len__(self) -> int:
        """Return the number of indices of a rank per epoch, even if drawing never ends."""
        periods = (
            -(-size // (part * self._world_size))  # rounded up
            for size, part in zip(self._sizes, self.ratio, strict=True)
        )
        return max(periods) * sum(self.ratio)

    def skip(self, num_samples: int) -> None:
        """Start the iteration after ``num_samples`` indices of this rank, at no cost.

        MMEngine calls this when it resumes an iteration-based run. The number counts from the
        start of the stream, or of the epoch if ``infinite=False``. It holds until it is set again.

        Args:
            num_samples: Number of indices to skip, not negative.

        Raises:
            ValueError: ``num_samples`` is negative.
        """
        if num_samples < 0:
            raise ValueError(f"num_samples must not be negative, got {num_samples}.")
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration draw ``epoch`` from its start; no effect if ``infinite=True``."""
        if not self.infinite:
            self._epoch = epoch
            self._skipped = 0

    def _order(self, stream: int, number: int) -> np.ndarray:
        """Return the order, (size of the stream,) int64, of one pass of stream 0 or 1."""
        if not self.shuffle:
            return np.arange(self._sizes[stream])
        # A seed sequence mixes its parts; with a sum, seed s + 1 would repeat the passes of seed s.
        mixed = np.random.SeedSequence(self.seed, spawn_key=(stream, number))
        return np.random.default_rng(mixed).permutation(self._sizes[stream])
