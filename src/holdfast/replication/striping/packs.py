"""Packs as shards: one at each site."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

from blake3 import blake3

from holdfast.errors import HoldfastError
from holdfast.replication.striping.blocks import BlockReader, Tables, too_few_shards
from holdfast.replication.striping.recent import Recent
from holdfast.replication.striping.shards import SHARDS, Cut, Shard, make_shards, parse_shard_key, shard_of
from holdfast.replication.striping.sites import Member, Outcome, Sites
from holdfast.replication.striping.untangling import untangle
from holdfast.replication.striping.whole import WholeObjects, raise_unless_enough, unused
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.stores.ranges import ended_early
from holdfast.vault.format.names import PACKS

__all__ = ["Seen", "StripedPacks", "shards_prefix"]

_Result = TypeVar("_Result")

_CUTS_MAX, _TABLES_MAX = 50_000, 512  # of 200 bytes, and of 4 KiB


class Seen(NamedTuple):
    """The shards of one pack that sites list: how it was cut, and site → what the site says of its shard."""

    cut: Cut
    shards: dict[int, ObjectInfo]

    @property
    def is_whole(self) -> bool:
        return len(self.shards) >= self.cut.k

    def info(self, key: str, order: Sequence[Member]) -> ObjectInfo:
        """The pack as an object. Its time is that of the shard at the first site which has one."""
        first = next(self.shards[member.position] for member in order if member.position in self.shards)
        return ObjectInfo(key, self.cut.size, first.modified_ns)


class StripedPacks:
    """Reading and writing packs as shards at all sites of a set."""

    def __init__(self, sites: Sites, whole: WholeObjects) -> None:
        self._sites = sites
        self._whole = whole
        self._cuts: Recent[Cut] = Recent(_CUTS_MAX)
        self._tables: Tables = Recent(_TABLES_MAX)

    # ---- reading ----

    def find(self, key: str) -> Cut | None:
        """How the pack was cut, or None when no site lists a shard of it. Raises StoreUnreachableError."""
        cut = self._cuts.get(key)
        if cut is None:
            home = self._sites.ready()[:1]
            if home and home[0] is self._sites.home:
                cut = self._ours(self._sites.attempt(home[0], lambda one: list_shards(one, key)).value or ())
            if cut is None:
                seen = self.survey(key)
                cut = seen.cut if seen is not None else None
            if cut is not None:
                self._cuts.put(key, cut)
        return cut

    def forget(self, key: str) -> None:
        """Do not rely on how the pack was cut when it was last seen."""
        self._cuts.drop(key)

    def get(self, key: str, cut: Cut) -> bytes:
        """The whole pack, whose id was checked. Raises DamageError, StoreUnreachableError, ObjectNotFoundError."""
        data = self.get_ranges(key, cut, [(0, cut.size)])[0]
        if blake3(data).hexdigest() != key.rpartition("/")[2]:
            data, liars = untangle(self._sites, key, cut)
            names = ", ".join(self._sites.members[number].name for number in liars)
            self._sites.progress.note(f"{key}: the shard at {names} is not what was written there; it was left out")
        return data

    def get_ranges(self, key: str, cut: Cut, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """These ranges of the pack; each block that is touched was checked."""
        return self._read(key, cut, ranges, lambda reader: reader.read(ranges))

    def read_ranges_into(self, key: str, cut: Cut, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """The same, one range after the other, into memory that is there."""
        self._read(key, cut, ranges, lambda reader: reader.read_into(ranges, out))

    def _read(
        self, key: str, cut: Cut, ranges: Sequence[tuple[int, int]], read: Callable[[BlockReader], _Result]
    ) -> _Result:
        for start, length in ranges:
            if start + length > cut.size:
                raise ended_early(key, cut.size, start, length)
        try:
            return read(BlockReader(self._sites, key, cut, self._tables))
        except HoldfastError:
            # What one site said of the pack's size, or what was known of it before, may be wrong: ask all of them.
            self._cuts.drop(key)
            seen = self.survey(key)
            if seen is None or seen.cut == cut or not seen.is_whole:
                raise
            return read(BlockReader(self._sites, key, seen.cut, self._tables))

    def head(self, key: str) -> ObjectInfo | None:
        """None when there is no pack in shards of that name."""
        seen = self.survey(key)
        if seen is None:
            return None
        if not seen.is_whole:
            absent = self._sites.absent()
            if len(seen.shards) + len(absent) >= seen.cut.k:
                why = {member.position: member.trouble for member in absent}
                missing = {member.position for member in self._sites.ready()} - seen.shards.keys()
                raise too_few_shards(self._sites, key, seen.cut, why | dict.fromkeys(missing, ""), missing)
            return None
        self._cuts.put(key, seen.cut)
        return seen.info(key, self._sites.order())

    def head_cut(self, key: str) -> Cut:
        """How a pack was cut of which there are enough shards. Raises ObjectNotFoundError."""
        self._cuts.drop(key)
        cut = self._cuts.get(key) if self.head(key) is not None else None
        if cut is None:
            raise self._whole.not_found(key)
        return cut

    def survey(self, key: str) -> Seen | None:
        """What all sites that answer list of a pack. Of several cuts, the one with the most shards."""
        outcomes = self._sites.each(self._sites.ready(), lambda one: list_shards(one, key))
        listed = [(outcome.member, shard, info) for outcome in outcomes for shard, info in outcome.value or ()]
        return self._gathered(key, listed)

    def listed(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """Packs of which there are enough shards."""
        order = self._sites.order()
        for key, seen in self.walk(prefix, after):
            if seen.is_whole:
                self._cuts.put(key, seen.cut)
                yield seen.info(key, order)

    def walk(self, prefix: str = PACKS, after: str = "") -> Iterator[tuple[str, Seen]]:
        """Every pack of which any site lists a shard that counts, in order."""
        wanted = shards_prefix(prefix, after)
        if wanted is None:
            return
        listings = [self._listing(rank, member, *wanted) for rank, member in enumerate(self._sites.ready())]
        merged = heapq.merge(*listings, key=lambda entry: entry[:2])
        for key, group in groupby(merged, key=lambda entry: entry[0]):
            if key.startswith(prefix) and key > after:
                seen = self._gathered(key, [entry[2:] for entry in group])
                if seen is not None:
                    yield key, seen
        self._whole.check_enough_listed(prefix)

    def _listing(
        self, rank: int, member: Member, prefix: str, after: str
    ) -> Iterator[tuple[str, int, Member, Shard, ObjectInfo]]:
        try:
            for info in member.store.list(prefix, after):
                shard = parse_shard_key(info.key)
                if shard is not None:
                    yield f"{PACKS}{shard.pack[:2]}/{shard.pack}", rank, member, shard, info
        except HoldfastError as error:
            self._sites.note_failure(member, error)
            if not member.trouble:
                raise

    def _gathered(self, key: str, listed: Sequence[tuple[Member, Shard, ObjectInfo]]) -> Seen | None:
        """The shards that belong where they are, have the right size, and are not marked as void."""
        layout = self._sites.layout
        by_cut: dict[Cut, dict[int, ObjectInfo]] = {}
        for member, shard, info in listed:
            belongs = (shard.cut.k, shard.cut.n, shard.number) == (layout.k, layout.n, member.position)
            if belongs and info.size == shard.cut.shard_bytes(shard.number):
                by_cut.setdefault(shard.cut, {})[shard.number] = info
        if not by_cut:
            return None
        cut, shards = max(by_cut.items(), key=lambda entry: (len(entry[1]), entry[0].size))
        if len(shards) < layout.n:
            voids = self._whole.voids()
            shards = {number: info for number, info in shards.items() if not voids.covers(number, key)}
        return Seen(cut, shards) if shards else None

    def _ours(self, seen: Sequence[tuple[Shard, ObjectInfo]]) -> Cut | None:
        layout = self._sites.layout
        cuts = [shard.cut for shard, _ in seen if (shard.cut.k, shard.cut.n) == (layout.k, layout.n)]
        return cuts[0] if len(cuts) == 1 else None

    # ---- writing ----

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        """A shard at each site. Raises what a site does when too few have theirs."""
        self._sites.writing_home()
        layout = self._sites.layout
        shards = make_shards(key.rpartition("/")[2], data, layout.k, layout.n, range(layout.n))
        cut = Cut(layout.k, layout.n, memoryview(data).nbytes)

        def write(member: Member) -> ObjectInfo:
            return member.store.put(shard_of(key, cut, member.position).key, shards[member.position])

        ready = self._sites.ready()
        outcomes: list[Outcome[ObjectInfo]] = self._sites.each(ready, write)
        outcomes += [Outcome(one, error=unused(one)) for one in self._sites.members if one not in ready]
        raise_unless_enough(self._sites, key, outcomes, layout.k)
        self._cuts.put(key, cut)
        first = next(outcome.value for outcome in outcomes if outcome.value is not None)
        return ObjectInfo(key, cut.size, first.modified_ns)

    def delete(self, key: str) -> None:
        """All shards, and the whole one if there is one."""
        self._cuts.drop(key)
        self._whole.delete(key, lambda one: delete_shards(one, key))
        self._cuts.drop(key)


def list_shards(member: Member, key: str) -> list[tuple[Shard, ObjectInfo]]:
    """What a site lists as shards of the pack."""
    found = ((parse_shard_key(info.key), info) for info in member.store.list(SHARDS + key.removeprefix(PACKS) + "-"))
    return [(shard, info) for shard, info in found if shard is not None]


def delete_shards(member: Member, key: str) -> None:
    """Remove every shard of the pack at a site, however it was cut."""
    for _, info in list_shards(member, key):
        member.store.delete(info.key)


def shards_prefix(prefix: str, after: str) -> tuple[str, str] | None:
    """Which shards to list for packs with this prefix after this key: prefix and after, or None for none."""
    if prefix.startswith(PACKS):
        wanted = SHARDS + prefix.removeprefix(PACKS)
    elif PACKS.startswith(prefix):
        wanted = SHARDS
    else:
        return None
    if after.startswith(PACKS):
        return wanted, SHARDS + after.removeprefix(PACKS)
    return None if after > PACKS else (wanted, "")
