"""When to renew an anchor: to store a chunk in full again, though a delta to the old anchor would still be smaller.

An anchor is a chunk stored in full, in F bytes, to which the chunks that follow in its place are deltas of d₁, d₂, …
bytes. Weights drift, so the deltas grow. A cycle of one anchor and n deltas stores n + 1 chunks, at an average of

    A(n) = (F + d₁ + … + dₙ) / (n + 1)

bytes each. Cycles follow each other, alike as long as the training is; by the renewal reward theorem the bytes per save
in the long run are those of one cycle divided by its length, that is A(n), and the best n is the one that makes A(n)
least. From A(n) − A(n−1) = (dₙ − A(n−1)) / (n + 1): one more delta lowers the average exactly as long as it is smaller
than the average so far. Where deltas do not shrink, A falls, then rises, and its first rise tells where the least one
was. So:

    the next chunk is stored in full when its delta would take A(n) bytes or more.

A delta's size is only estimated before it is coded, from a sample, and estimates may all be too low. So the last one's
true size is asked, too: when dₙ ≥ A(n), which is to say dₙ ≥ A(n−1), it was too dear already, and the next one will
hardly be less. Then there is no further delta: a bad estimate costs one save, not many.

Nothing has to be known of how deltas will grow. Deltas that stay the same (d < F) never renew: A(n) stays above d. An
anchor without deltas sets no limit: whether a first delta pays is what the codec finds by coding the same bytes both
ways.

The theorem: S. M. Ross, Applied Probability Models with Optimization Applications, 1970, chapter 3. The rule to replace
when the marginal cost reaches the average is that of replacing what grows dearer with age: R. E. Barlow and L. C.
Hunter, Optimum Preventive Maintenance Policies, Operations Research 8 (1960), 90–100, policy II.

*Restoring.* A snapshot whose chunk is a delta is read from F + d bytes, one whose chunk is an anchor from F. Let a byte
read in excess when restoring count as much as p bytes stored: then a delta costs (1 + p)·d, an anchor still F, and the
rule, divided by 1 + p, has the limit (F / (1 + p) + d₁ + … + dₙ) / (n + 1). `read_price` is p. It is 0 unless told
otherwise: every snapshot is stored, few are ever restored.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from holdfast.ids import ChunkId
from holdfast.vault.format.records import Part
from holdfast.vault.index import Located
from holdfast.vault.saving.memory import AnchorAge, Remembered

__all__ = ["Anchors", "Ages", "summarise"]

_ID_BYTES = 32
_NEW = AnchorAge(0, 0)


class Ages(NamedTuple):
    """How old the anchors of a snapshot's deltas are: how many anchors, and the mean number of deltas to each."""

    anchors: int
    mean_deltas: float


class Anchors:
    """The ages of anchors during one save. Safe for several threads.

    `limit` answers from what was known when the save began, so that the same input gives the same choices whatever the
    threads' order. What this save did is collected beside it, for the next one. Make a new one for every attempt to
    save: a delta that was not committed must not count.
    """

    def __init__(
        self,
        remembered: Remembered | None,
        index_find: Callable[[ChunkId], Located | None],
        *,
        read_price: float = 0.0,
    ) -> None:
        """`remembered`: the last save of the asset from this machine. `read_price`: bytes stored that a byte read in
        excess when restoring is worth, ≥ 0.
        """
        if not 0 <= read_price < math.inf:
            raise ValueError(f"a price of {read_price} for reading makes no sense")
        self._known: dict[bytes, AnchorAge] = {} if remembered is None else dict(remembered.anchors)
        self._find = index_find
        self._price = read_price
        self._guessed: dict[bytes, AnchorAge] = {}  # ages that were not remembered
        self._added: dict[bytes, AnchorAge] = {}  # by this save
        self._full: set[bytes] = set()
        self._lock = threading.Lock()

    def limit(self, anchor: ChunkId, candidate: ChunkId) -> float:
        """The stored size in bytes (tag included) that a delta to `anchor` must stay below to be worth it.

        `candidate` is the parent snapshot's chunk at the same place: the anchor itself or a delta to it. Infinite for
        an anchor without deltas (unless reading has a price). 0 where the last delta was too dear already, and for a
        chunk that no pack holds.
        """
        located = self._find(anchor)
        if located is None:
            return 0.0
        age = self._age(anchor, candidate)
        if not age.deltas and not self._price:
            return math.inf
        average = (located.place.stored / (1 + self._price) + age.stored) / (age.deltas + 1)
        last = self._find(candidate) if candidate != anchor else None
        too_dear = last is not None and last.place.base == anchor and last.place.stored >= average
        return 0.0 if too_dear else average

    def took_delta(self, anchor: ChunkId, stored: int) -> None:
        """A delta to `anchor` was put into a pack, in `stored` bytes. Call it once for each chunk that is stored."""
        with self._lock:
            self._added[anchor] = _sum(self._added.get(anchor, _NEW), AnchorAge(1, stored))

    def took_full(self, chunk: ChunkId) -> None:
        """`chunk` was put into a pack as no delta: an anchor without deltas, whatever was known of it."""
        with self._lock:
            self._full.add(chunk)

    def ages(self, parts: Iterable[Part]) -> dict[bytes, AnchorAge]:
        """What to remember after the save: the age of every anchor that the snapshot's chunks are, or are deltas to.

        A chunk that was not stored anew leaves its anchor's age as it was: it cost nothing. Anchors without deltas are
        left out, as that is what an unknown one is taken for.
        """
        if not (self._known or self._added):
            return {}
        kept: dict[bytes, AnchorAge] = {}
        for chunk in _chunks(parts):
            located = self._find(chunk)
            anchor = chunk if located is None else located.place.base or chunk
            if anchor not in kept and (age := self._age_after(anchor)).deltas:
                kept[anchor] = age
        return kept

    def _age_after(self, anchor: ChunkId) -> AnchorAge:
        added = self._added.get(anchor, _NEW)
        before = _NEW if anchor in self._full else self._known.get(anchor)
        return _sum(before or (self._guessed.get(anchor, _NEW) if added.deltas else _NEW), added)

    def _age(self, anchor: ChunkId, candidate: ChunkId) -> AnchorAge:
        """As remembered; else, as the parent's chunk shows it: at least one delta, of that size."""
        known = self._known.get(anchor)
        if known is not None or candidate == anchor:
            return known or _NEW
        located = self._find(candidate)
        if located is None or not located.place.base:
            return _NEW
        guess = AnchorAge(1, located.place.stored)
        with self._lock:
            # The larger of two guesses, as the order of threads must not tell which one is kept.
            self._guessed[anchor] = max(guess, self._guessed.get(anchor, _NEW), key=lambda age: age.stored)
        return guess


def _sum(one: AnchorAge, other: AnchorAge) -> AnchorAge:
    return AnchorAge(one.deltas + other.deltas, one.stored + other.stored)


def summarise(ages: Iterable[AnchorAge]) -> Ages:
    """The mean age. 0 where there are no anchors."""
    deltas = [age.deltas for age in ages]
    return Ages(len(deltas), sum(deltas) / len(deltas) if deltas else 0.0)


def _chunks(parts: Iterable[Part]) -> set[ChunkId]:
    return {
        ChunkId(entry.chunks[start : start + _ID_BYTES])
        for part in parts
        for entry in part.entries
        for start in range(0, len(entry.chunks), _ID_BYTES)
    }
