"""Giving sites what they owe: after an outage, after damage, or all of it to a new site in the place of a lost one.

What is missing follows from what the sites list: a run that was interrupted goes on where it was, and a second one
finds nothing to do. Only what must not count any more (`voids`) is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import HoldfastError, ObjectNotFoundError, RefusedError, StoreUnreachableError
from holdfast.replication.striping.layout import layout_key
from holdfast.replication.striping.owing import (
    Copies,
    HealingPlan,
    plan_healing,
    targets_of,
    walk_whole,
)
from holdfast.replication.striping.packs import Seen, delete_shards
from holdfast.replication.striping.shards import make_shards, parse_shard, shard_of
from holdfast.replication.striping.sites import Member
from holdfast.replication.striping.store import StripedStore
from holdfast.replication.striping.voids import Mark, Voids
from holdfast.replication.striping.whole import is_sound
from holdfast.vault.format.names import PACKS
from holdfast.vault.format.series import create_once

__all__ = ["ASIDE", "Healed", "bring_whole_objects", "give_shards", "heal_stripes", "record_layout", "remove_fragments"]

_STREAMS = 4  # packs on their way at a time
_BATCH = 64
ASIDE = "stripes/aside/"


@dataclass
class Healed(HealingPlan):
    """What was done. `differing`: objects that sites hold with different, sound contents: which one is right, only a
    person knows. `failed`: what could not be given, and why. `marks`: voids that were settled.
    """

    marks: int = 0
    differing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every site now has what it should."""
        return not (self.owed or self.failed or self.differing)


def heal_stripes(
    store: StripedStore,
    positions: Collection[int] | None = None,
    *,
    read_back: bool = False,
    settle: bool = False,
) -> Healed:
    """Give these sites, or all that answer, what they lack, and take back what they should not have.

    Each pack's id is checked before a shard of it is written; with `read_back`, each shard afterwards. With `settle`,
    of objects that differ the home's stays, and the others are set aside under `stripes/aside/` of their sites. Raises
    StoreUnreachableError when too few sites answer to tell what is missing.
    """
    plan = plan_healing(store, positions)
    work = _Healing(store, targets_of(store, positions), read_back, settle)
    work.done.owed = plan.owed
    marks = [mark for mark in Voids(store.sites).all() if mark.position in {one.position for one in work.targets}]
    store.sites.progress.phase("healing stripes", plan.bytes_written)
    work.bring_whole()
    work.bring_packs()
    work.look_again()
    work.settle_marks(marks)
    if positions is None:
        record_layout(store, [member for member in work.targets if not member.vacant])
    return work.done


def remove_fragments(store: StripedStore, *, older_than_seconds: float = 86400.0) -> list[str]:
    """Delete the shards of packs of which there are too few, at every site. Returns the packs.

    They are of no use. Most were left by a write or a delete that was interrupted; but look first whether the vault
    misses them (`holdfast vault check`): a lost site that comes back could complete them. So this is done only while
    all sites answer and are whole, and only to what is so old that nobody is writing it. Raises RefusedError.
    """
    store.sites.forget()
    store.sites.ready()
    away = [member for member in store.sites.members if member.trouble or member.vacant]
    if away:
        raise RefusedError(
            f"fragments stay while a site is missing: {store.sites.told(away)}", hint="it may complete them"
        )
    limit = store.sites.clock.now_ns() - int(older_than_seconds * 1e9)
    removed = []
    for key, seen in list(store.packs.walk()):
        if not seen.is_whole and all(info.modified_ns < limit for info in seen.shards.values()):
            for member in store.sites.members:
                delete_shards(member, key)
            removed.append(key)
    return removed


def bring_whole_objects(store: StripedStore, position: int) -> Healed:
    """Give a site every whole object that any site has, and settle what does not count there: then it can be a home.

    Raises StoreUnreachableError unless all of it could be done.
    """
    work = _Healing(store, [store.sites.members[position]], read_back=False, settle=False)
    marks = [mark for mark in Voids(store.sites).all() if mark.position == position]
    work.bring_whole()
    work.look_again()
    work.settle_marks(marks)
    if work.done.failed:
        key, why = next(iter(work.done.failed.items()))
        raise StoreUnreachableError(f"{len(work.done.failed)} objects could not be brought, {key} among them: {why}")
    return work.done


def give_shards(store: StripedStore, key: str, members: Sequence[Member], *, read_back: bool) -> None:
    """Write these sites' shards of a pack that can be put together. Raises HoldfastError."""
    cut = store.packs.find(key)
    if cut is None:
        raise ObjectNotFoundError(f"there is no {key} in {store.url}", object_name=key)
    data = store.packs.get(key, cut)
    shards = make_shards(key.rpartition("/")[2], data, cut.k, cut.n, [member.position for member in members])
    for member in members:
        shard = shard_of(key, cut, member.position)
        member.store.put(shard.key, shards[shard.number])
        if read_back:
            parse_shard(shard, member.store.get(shard.key))


def record_layout(store: StripedStore, members: Iterable[Member]) -> None:
    """Write the layout that counts at these sites, where it is not yet."""
    layout = store.sites.layout
    for member in members:
        record = layout.at(member.position).to_bytes()
        create_once(member.store, layout_key(layout.generation), record)


class _Brought(NamedTuple):
    """What was given to sites, and who had it before."""

    key: str
    before: frozenset[int]
    given: list[Member]


class _Healing:
    def __init__(self, store: StripedStore, targets: Sequence[Member], read_back: bool, settle: bool) -> None:
        self._store = store
        self._sites = store.sites
        self.targets = targets
        self._read_back = read_back
        self._settle = settle
        self._brought: list[_Brought] = []
        self.done = Healed()

    def bring_whole(self) -> None:
        for key, copies in walk_whole(self._store):
            if copies.good:
                self._guarded(key, self._bring_object, key, copies)

    def bring_packs(self) -> None:
        walk = self._store.packs.walk()
        with ThreadPoolExecutor(_STREAMS) as pool:
            while batch := list(islice(walk, _BATCH)):
                list(pool.map(self._bring_one, batch))

    def _bring_one(self, entry: tuple[str, Seen]) -> None:
        self._guarded(entry[0], self._bring_pack, *entry)

    def look_again(self) -> None:
        """What was deleted while it was brought must not come back by that."""
        for one in self._brought:
            self._guarded(one.key, self._take_back, one)

    def settle_marks(self, marks: Iterable[Mark]) -> None:
        """By now each marked site has what counts, or must have nothing; then the mark may go, if it goes at all."""
        voids = Voids(self._sites)
        for mark in marks:
            key = voids.key_of(mark)
            if key is not None and key not in self.done.failed:
                self._guarded(key, self._settle_mark, mark, key)

    def _guarded(self, key: str, action: Callable[..., None], *given: object) -> None:
        try:
            action(*given)
        except HoldfastError as error:
            self.done.failed[key] = error.message

    def _bring_object(self, key: str, copies: Copies) -> None:
        lacking = [member for member in self.targets if member.position not in copies.good]
        if not lacking and not copies.differ:
            return
        data = self._store.whole.get(key)
        if copies.differ:
            lacking += self._unlike(key, data, copies)
        for member in lacking:
            member.store.put(key, data)
            self.done.bytes_written += len(data)
            self._sites.progress.advance(len(data), len(data))
        if lacking:
            self.done.objects += 1
            self.done.bytes_read += len(data)
            self._brought.append(_Brought(key, frozenset(copies.good), lacking))

    def _unlike(self, key: str, data: bytes, copies: Copies) -> list[Member]:
        """Sites among the targets whose copy is damaged, or is to be replaced by the one that counts."""
        found = []
        for member in self.targets:
            other = member.store.get(key) if member.position in copies.good else data
            if other == data:
                continue
            if is_sound(key, other):
                if not self._settle:
                    self.done.differing.append(f"{key} at {member.name}")
                    continue
                member.store.put(f"{ASIDE}{blake3(other).hexdigest()}", other)
            found.append(member)
        return found

    def _bring_pack(self, key: str, seen: Seen) -> None:
        if not seen.is_whole:
            self.done.fragments[key] = len(seen.shards)
            return
        lacking = [member for member in self.targets if member.position not in seen.shards]
        if not lacking:
            return
        give_shards(self._store, key, lacking, read_back=self._read_back)
        written = sum(seen.cut.shard_bytes(member.position) for member in lacking)
        self.done.packs += 1
        self.done.bytes_read += sum(seen.cut.shard_bytes(number) for number in sorted(seen.shards)[: seen.cut.k])
        self.done.bytes_written += written
        self._brought.append(_Brought(key, frozenset(seen.shards), lacking))
        self._sites.progress.advance(written, written)

    def _take_back(self, one: _Brought) -> None:
        given = {member.position for member in one.given}
        others = [self._sites.members[position] for position in one.before - given]
        if not others:
            return  # copies that differed, all of them replaced
        if one.key.startswith(PACKS) and (seen := self._store.packs.survey(one.key)) is not None:
            gone = not one.before & seen.shards.keys()
        else:
            found = self._sites.each(others, lambda member: member.store.head(one.key))
            gone = all(isinstance(outcome.error, ObjectNotFoundError) for outcome in found)
        if gone:
            self._remove(one.key, one.given)

    def _settle_mark(self, mark: Mark, key: str) -> None:
        try:
            self._store.head(key)
        except ObjectNotFoundError:
            self._remove(key, [self._sites.members[mark.position]])
        members = self._sites.ready()
        if len(members) < len(self._sites.members):
            return  # it would come back with the site that is away
        for member in reversed(members):  # the home last: while it is there, it is everywhere that it counts
            member.store.delete(mark.key)
        self.done.marks += 1

    def _remove(self, key: str, members: Iterable[Member]) -> None:
        for member in members:
            member.store.delete(key)
            if key.startswith(PACKS):
                delete_shards(member, key)
