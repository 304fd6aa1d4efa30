"""The order of training examples: batches of similar length, in random order, new in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

BATCHES_PER_POOL = 50
BLUR = 0.1  # of a length


class LengthBuckets(Sampler[int]):
    """Indices such that each run of `batch_size` of them is one batch of examples of similar length.

    Every epoch shuffles the examples, sorts them by length, blurred by up to a tenth, inside pools of
    50 batches, and shuffles the batches, so that neither content nor order of batches repeats. (Unblurred,
    a training set that fits one pool and has few equal lengths would meet in the same batches in every
    epoch. transformers' own sampler keeps the batches of a pool in order of length, which for a small
    training set means a whole epoch from long to short.) The generator is the sampler's own: the order
    depends on its seed alone, not on what a model draws for dropout.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = torch.as_tensor(lengths)
        self.batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        shuffled = torch.randperm(len(self._lengths), generator=self._generator)
        pools = shuffled.split(self.batch_size * BATCHES_PER_POOL)
        blurred = self._lengths * (1 + BLUR * torch.rand(len(self._lengths), generator=self._generator))
        by_length = [pool[blurred[pool].argsort(stable=True, descending=True)] for pool in pools]
        batches = [batch for pool in by_length for batch in pool.split(self.batch_size)]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        order = torch.randperm(len(full), generator=self._generator).tolist()
        for batch in [*(full[index] for index in order), *rest]:
            yield from batch.tolist()


class Slices:
    """This process's part of every batch, as lists of indices, in the order that one process would take them.

    Parts differ by one example at most. A last batch with fewer examples than processes goes to all of
    them whole: equal means leave the mean as it is.
    """

    def __init__(self, order: LengthBuckets, number: int, of: int) -> None:
        self._order, self._number, self._of = order, number, of

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._order) // self._order.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        indices = list(self._order)
        for start in range(0, len(indices), self._order.batch_size):
            batch = indices[start : start + self._order.batch_size]
            yield batch[self._number :: self._of] if len(batch) >= self._of else batch
