"""What the trainer reads: the help topics that ship with Python, as bytes, in an order that a seed decides."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from holdfast.drills.trainer.layers import Ints

__all__ = ["load_corpus", "DataState", "Batches"]


def load_corpus() -> bytes:
    """About 450 kB of English, the same on every machine with the same Python."""
    from pydoc_data.topics import topics

    return "\n\n".join(text for _, text in sorted(topics.items())).encode()


class DataState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the reading stands. `corpus_sha256` guards against going on with another text."""

    seed: int
    epoch: int
    position: int  # windows already read in this epoch
    corpus_sha256: str


class Batches:
    """Windows of the corpus, shuffled anew in each epoch from (seed, epoch) alone: the state is two small numbers."""

    def __init__(self, corpus: bytes, context: int, batch: int, seed: int) -> None:
        self._bytes = np.frombuffer(corpus, dtype=np.uint8)
        self._context = context
        self._batch = batch
        self._seed = seed
        self._windows = (len(corpus) - 1) // context
        if self._windows < batch:
            raise ValueError("the corpus is shorter than one batch")
        self._sha256 = hashlib.sha256(corpus).hexdigest()
        self._start_epoch(0, 0)

    @property
    def state(self) -> DataState:
        return DataState(seed=self._seed, epoch=self._epoch, position=self._position, corpus_sha256=self._sha256)

    def seek(self, state: DataState) -> None:
        """Go on where `state` was taken. The caller has compared seed and corpus with this reader's `state`."""
        self._start_epoch(state.epoch, state.position)

    def next(self) -> tuple[Ints, Ints]:
        """Two (batch, context) arrays: tokens, and for each the token that follows."""
        if self._position + self._batch > self._windows:
            self._start_epoch(self._epoch + 1, 0)
        chosen = self._order[self._position : self._position + self._batch]
        self._position += self._batch
        offsets = chosen[:, None] * self._context + np.arange(self._context + 1)
        tokens = self._bytes[offsets].astype(np.int64)
        return tokens[:, :-1], tokens[:, 1:]

    def _start_epoch(self, epoch: int, position: int) -> None:
        self._epoch = epoch
        self._position = position
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, epoch])))
        self._order: Ints = generator.permutation(self._windows)
