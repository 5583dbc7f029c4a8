"""Reading parts of a striped pack: only the blocks that hold them, each checked; what a site lacks from the others.

A block that is missing, or does not hash to its entry in the shard's table, is computed from the blocks at the same
place in k other shards. So a read of the whole or of a part never returns a byte that was not checked, and costs, where
a site is gone, k times the columns that lay there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError, StoreUnreachableError
from holdfast.replication.striping.erasure import Column, reconstruct
from holdfast.replication.striping.recent import Recent
from holdfast.replication.striping.shards import BLOCK, Cut, Shard, block_is_sound, column_of, parse_table, shard_of
from holdfast.replication.striping.sites import Member, Sites
from holdfast.stores.ranges import merged

__all__ = ["BlockReader", "Tables", "too_few_shards"]

Tables = Recent[bytes]  # shard's key → its table; kept by who reads the same packs again

_Blocks = dict[int, tuple[memoryview, int]]  # block → the bytes that were fetched together with it, and where it begins


class BlockReader:
    """One read of one pack. `why`: shard → what is wrong with it, filled as that shows."""

    def __init__(self, sites: Sites, key: str, cut: Cut, tables: Tables) -> None:
        self._sites = sites
        self._key = key
        self._cut = cut
        self._tables = tables
        self._have: dict[int, _Blocks] = {}
        self.why: dict[int, str] = {}
        self.missing: set[int] = set()  # shards that sites say they do not have

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The ranges, which lie inside the pack. Raises DamageError, StoreUnreachableError."""
        self._repair(self._fetch(self._needed(ranges)))
        return [b"".join(self._parts(start, length)) for start, length in ranges]

    def read_into(self, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """The same, one range after the other, into memory that is there."""
        self._repair(self._fetch(self._needed(ranges)))
        at = 0
        for start, length in ranges:
            for part in self._parts(start, length):
                out[at : at + part.nbytes] = part
                at += part.nbytes

    def _needed(self, ranges: Sequence[tuple[int, int]]) -> dict[int, set[int]]:
        needed: dict[int, set[int]] = {}
        for start, length in ranges:
            for number, at, size in self._pieces(start, length):
                needed.setdefault(number, set()).update(range(at // BLOCK, (at + size - 1) // BLOCK + 1))
        return needed

    def _pieces(self, start: int, length: int) -> Iterable[tuple[int, int, int]]:
        """(shard, offset in its column, bytes) of a range of the pack."""
        width = self._cut.width
        while length > 0:
            number, at = divmod(start, width)
            size = min(length, width - at)
            yield number, at, size
            start, length = start + size, length - size

    def _parts(self, start: int, length: int) -> Iterator[memoryview]:
        """The bytes of a range, in as few pieces as they were fetched in."""
        for number, at, size in self._pieces(start, length):
            first, end = at // BLOCK, at + size
            begin = first * BLOCK
            for span in self._spans(number, range(first, (end - 1) // BLOCK + 1)):
                yield span[max(at - begin, 0) : end - begin]
                begin += span.nbytes

    def _spans(self, number: int, blocks: Sequence[int]) -> Iterator[memoryview]:
        """These blocks of a shard, which are all had; those that lie one after the other in one piece."""
        have, cut = self._have.get(number, {}), self._cut
        run, start, end = None, 0, 0
        for block in blocks:
            other, at = have[block]
            size = min(BLOCK, cut.payload_bytes(number) - block * BLOCK)
            if run is not None and (other is not run or at != end):
                yield run[start:end]
                run = None
            if run is None:
                run, start = other, at
            end = at + size
        if run is not None:
            yield run[start:end]

    # ---- fetching ----

    def _fetch(self, needed: Mapping[int, Collection[int]]) -> dict[int, set[int]]:
        """Get these blocks, of all shards at once. Returns those that could not be had."""
        wanted = {number: set(blocks) - self._have.get(number, {}).keys() for number, blocks in needed.items()}
        wanted = {number: blocks for number, blocks in wanted.items() if blocks}
        ready = {member.position: member for member in self._sites.ready()}
        bad: dict[int, set[int]] = {}
        for number in wanted.keys() - ready.keys():
            self.why[number] = self._sites.members[number].trouble
            bad[number] = wanted[number]
        members = [ready[number] for number in sorted(wanted) if number in ready]
        for outcome in self._sites.each(members, lambda one: self._fetch_from(one, wanted[one.position])):
            number = outcome.member.position
            if outcome.value is not None:
                found, unsound = outcome.value
                self._have.setdefault(number, {}).update(found)
                if unsound:
                    self.why[number] = f"{self._shard(number).key} is damaged"
                    bad[number] = unsound
                continue
            assert outcome.error is not None
            self.why[number] = outcome.error.message
            bad[number] = wanted[number]
            if isinstance(outcome.error, ObjectNotFoundError):
                self.missing.add(number)
        return bad

    def _fetch_from(self, member: Member, blocks: set[int]) -> tuple[_Blocks, set[int]]:
        """Blocks of the shard at one site: those that are sound, and which are not. Raises HoldfastError."""
        shard = self._shard(member.position)
        at, payload = self._cut.payload_at(shard.number), self._cut.payload_bytes(shard.number)
        runs = merged([(block * BLOCK, min(BLOCK, payload - block * BLOCK)) for block in blocks], 0)
        table = self._tables.get(shard.key)
        head = [(0, at)] if table is None else []
        fetched = member.store.get_ranges(shard.key, [*head, *((at + start, length) for start, length in runs)])
        if table is None:
            table = parse_table(shard, fetched.pop(0))
            self._tables.put(shard.key, table)
        found: _Blocks = {}
        unsound: set[int] = set()
        for (start, length), data in zip(runs, fetched, strict=True):
            view = memoryview(data)
            if view.nbytes != length:
                raise DamageError(
                    f"{shard.key}: {member.name} gave {view.nbytes} of {length} bytes", object_name=shard.key
                )
            for offset in range(0, length, BLOCK):
                block, content = (start + offset) // BLOCK, view[offset : offset + BLOCK]
                if block_is_sound(table, block, content):
                    found[block] = view, offset
                else:
                    unsound.add(block)
        if unsound:
            self._tables.drop(shard.key)
            self._sites.progress.note(f"{shard.key} is damaged at {member.name}; its bytes come from the other sites")
        return found, unsound

    # ---- computing ----

    def _repair(self, bad: Mapping[int, set[int]]) -> None:
        """Compute blocks of shards from k others; shards that lack the same blocks in one go."""
        together: dict[frozenset[int], list[int]] = {}
        for number, blocks in bad.items():
            together.setdefault(frozenset(blocks), []).append(number)
        for rows, numbers in together.items():
            try:
                self._compute(numbers, sorted(rows))
            except HoldfastError:
                if len(rows) == 1:
                    raise
                for block in sorted(rows):  # other shards may be damaged too, each somewhere else
                    self._compute(numbers, [block])

    def _compute(self, numbers: Sequence[int], blocks: list[int]) -> None:
        cut, out = self._cut, set(numbers)
        while True:
            sources = [one for one in self._by_cost(blocks) if one not in out][: cut.k]
            if len(sources) < cut.k:
                raise too_few_shards(self._sites, self._key, cut, self.why, self.missing)
            needed = {one: [block for block in blocks if block < cut.blocks(one)] for one in sources}
            bad = self._fetch(needed)
            if not bad:
                break
            out |= bad.keys()
        columns = {one: self._columns(one, blocks) for one in sources}
        for number, computed in reconstruct(cut.k, cut.n, columns, numbers).items():
            have, at = self._have.setdefault(number, {}), 0
            for block in blocks:
                start, end = cut.column_span(block)
                held = max(min(end, cut.payload_bytes(number)) - start, 0)
                if held:
                    have[block] = computed.data, at
                at += end - start

    def _by_cost(self, blocks: Sequence[int]) -> list[int]:
        """Shards in the order in which they are asked: what is there already, then data, then parity."""
        ready = {member.position for member in self._sites.ready()}
        order = [number for number in range(self._cut.n) if number in ready]
        for number in range(self._cut.n):
            if number not in ready:
                self.why.setdefault(number, self._sites.members[number].trouble)
        return sorted(order, key=lambda number: (not self._holds(number, blocks), number))

    def _holds(self, number: int, blocks: Sequence[int]) -> bool:
        return all(block in self._have.get(number, {}) for block in blocks if block < self._cut.blocks(number))

    def _columns(self, number: int, blocks: Sequence[int]) -> Column:
        """These blocks of a shard, one after the other, with the zeros that a data shard does not store."""
        have, cut = self._have.get(number, {}), self._cut
        width = sum(end - start for start, end in map(cut.column_span, blocks))
        spans = list(self._spans(number, [block for block in blocks if block in have]))
        if len(spans) == 1:
            return column_of(spans[0], width)  # without a copy, as a rule
        held = np.concatenate([np.frombuffer(span, np.uint8) for span in spans]) if spans else np.zeros(0, np.uint8)
        return column_of(held.data, width)

    def _shard(self, number: int) -> Shard:
        return shard_of(self._key, self._cut, number)


def too_few_shards(sites: Sites, key: str, cut: Cut, why: Mapping[int, str], missing: Collection[int]) -> HoldfastError:
    """What to say of a pack that cannot be put together, and which sites that is for."""
    if all(number in missing or not cut.payload_bytes(number) for number in range(cut.n)):
        return ObjectNotFoundError(f"there is no {key} in {sites.url}", object_name=key)
    told = "; ".join(
        f"{sites.members[number].name}: {'its shard is missing' if number in missing else reason}"
        for number, reason in sorted(why.items())
    )
    message = f"{key} cannot be put together: fewer than {cut.k} of its {cut.n} shards are to be had; {told}"
    if sites.absent():
        return StoreUnreachableError(
            message, hint=f"wait for the sites; any {cut.k} of the {cut.n} will do", object_name=key
        )
    return DamageError(message, hint="rebuild it from another replica of this vault, if there is one", object_name=key)
