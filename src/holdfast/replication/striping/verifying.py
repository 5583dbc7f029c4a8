"""Checking stripes without any key: shards against their hashes, parity against data, packs against their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import ConflictError, DamageError, HoldfastError, ObjectNotFoundError, UsageError
from holdfast.replication.striping.erasure import Column
from holdfast.replication.striping.healing import ASIDE, give_shards
from holdfast.replication.striping.owing import Copies, owed_sites, walk_whole
from holdfast.replication.striping.packs import Seen
from holdfast.replication.striping.shards import column_of, framed, parse_shard, shard_of
from holdfast.replication.striping.sites import Member
from holdfast.replication.striping.store import StripedStore
from holdfast.replication.striping.untangling import find_liars
from holdfast.replication.striping.whole import is_sound

__all__ = ["StripeDamage", "VerifiedStripes", "heal_damage", "verify_stripes"]

_STREAMS = 2  # each reads all shards of a pack at once
_BATCH = 64


class StripeDamage(NamedTuple):
    """What is wrong at one site. `pack` is the object that it belongs to, `key` what lies at the site."""

    position: int
    site: str
    pack: str
    key: str
    what: str


@dataclass
class VerifiedStripes:
    """What was looked at. `lost`: packs that no k shards give. `fragments`: packs of which too few shards are there at
    all, and how many: left by a write or delete that was interrupted, or lost. `unasked`: sites that did not answer.
    """

    packs: int = 0
    objects: int = 0
    bytes: int = 0
    damages: list[StripeDamage] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    fragments: dict[str, int] = field(default_factory=dict)
    unasked: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.damages or self.lost or self.fragments or self.unasked)


def verify_stripes(store: StripedStore, sample: float = 1.0, *, seed: int = 0) -> VerifiedStripes:
    """Read all shards of a share of the packs, and all copies of the same share of everything else, at every site.

    Each shard must be, to the byte, what a pack whose BLAKE3 is its name gives: its hash, its table, its parity. Which
    packs are in a `sample` depends on their names and on `seed`: another seed, other packs. Needs no key. Raises
    StoreUnreachableError when too few sites answer to tell what there is.
    """
    if not 0 < sample <= 1:
        raise UsageError(f"a sample is more than 0 and at most 1, not {sample:g}")
    store.sites.forget()
    store.sites.ready()
    work = _Verifying(store, sample, seed)
    work.look_at_packs()
    work.look_at_objects()
    work.done.unasked = owed_sites(store, None)
    return work.done


def heal_damage(store: StripedStore, found: VerifiedStripes, *, settle: bool = False) -> dict[str, str]:
    """Write what is damaged or missing anew, from what is sound. Returns what could not be mended, and why.

    Of whole objects that differ although all look sound, the one that more than half of the sites hold counts; with
    `settle`, where there is none, the home's. What is replaced is kept under `stripes/aside/` of its site.
    """
    failed = {}
    for damage in found.damages:
        member = store.sites.members[damage.position]
        try:
            if damage.key == damage.pack:
                _mend_object(store, member, damage, settle)
            else:
                give_shards(store, damage.pack, [member], read_back=True)
        except HoldfastError as error:
            failed[damage.key] = error.message
    return failed


def _mend_object(store: StripedStore, member: Member, damage: StripeDamage, settle: bool) -> None:
    key = damage.key
    voids = store.whole.voids()
    counted = [one for one in store.sites.ready() if one is store.sites.home or not voids.covers(one.position, key)]
    outcomes = store.sites.each(counted, lambda one: one.store.get(key))
    copies = {one.member.position: one.value for one in outcomes if one.value is not None and is_sound(key, one.value)}
    right, agreeing = _commonest(list(copies.values()))
    if right is None:
        raise DamageError(f"no site has {key} sound", object_name=key)
    if agreeing * 2 <= len(store.sites.members) and len(set(copies.values())) > 1:
        if not settle:
            raise ConflictError(f"the sites hold different objects as {key}, and each looks sound", object_name=key)
        right = store.whole.get(key)
    other = copies.get(member.position, right)
    if other != right:
        member.store.put(f"{ASIDE}{blake3(other).hexdigest()}", other)
    member.store.put(key, right)


def _commonest(copies: Sequence[bytes]) -> tuple[bytes | None, int]:
    """The content that most have (of several, the first), and how many do."""
    counts = Counter(copies)
    right = max(counts, key=counts.__getitem__, default=None)
    return right, counts[right] if right is not None else 0


class _Verifying:
    def __init__(self, store: StripedStore, sample: float, seed: int) -> None:
        self._store = store
        self._sites = store.sites
        self._limit = int(sample * 2**32)
        self._seed = seed.to_bytes(8, "little", signed=True)
        self.done = VerifiedStripes()

    def look_at_packs(self) -> None:
        walk = (entry for entry in self._store.packs.walk() if self._is_chosen(entry[0]))
        self._sites.progress.phase("verifying stripes", None)
        with ThreadPoolExecutor(_STREAMS) as pool:
            while batch := list(islice(walk, _BATCH)):
                for found in pool.map(self._look_at_pack, batch):
                    self.done.damages += found

    def look_at_objects(self) -> None:
        for key, copies in walk_whole(self._store):
            if copies.good and self._is_chosen(key):
                self._look_at_object(key, copies)

    def _is_chosen(self, key: str) -> bool:
        return int.from_bytes(blake3(self._seed + key.encode()).digest(4), "little") < self._limit

    def _look_at_pack(self, entry: tuple[str, Seen]) -> list[StripeDamage]:
        key, seen = entry
        cut = seen.cut
        if not seen.is_whole:
            self.done.fragments[key] = len(seen.shards)
            return []

        def fetch(member: Member) -> bytes:
            return member.store.get(shard_of(key, cut, member.position).key)

        stored: dict[int, bytes] = {}
        columns: dict[int, Column] = {}
        wrong: dict[int, str] = {}
        for outcome in self._sites.each(self._sites.ready(), fetch):
            number = outcome.member.position
            if outcome.value is None:
                if not outcome.failed:
                    absent = isinstance(outcome.error, ObjectNotFoundError)
                    wrong[number] = "it is missing" if absent else str(outcome.error)
                continue
            stored[number] = outcome.value
            try:
                payload = parse_shard(shard_of(key, cut, number), outcome.value)
                columns[number] = column_of(payload, cut.width)
            except DamageError as error:
                wrong[number] = error.message
        self.done.packs += 1
        size = sum(map(len, stored.values()))
        self.done.bytes += size
        self._sites.progress.advance(size)
        right = find_liars(key, cut, columns)
        if right is None:
            self.done.lost[key] = f"none of its {len(columns)} sound shards, {cut.k} at a time, make what its name says"
        else:
            for number, data in stored.items():
                shard = shard_of(key, cut, number)
                payload = right[0][number].data[: cut.payload_bytes(number)]
                if number not in wrong and b"".join(framed(shard, payload)) != data:
                    wrong[number] = "it hashes to what it says itself, and is not of this pack"
        return [self._damage(number, key, shard_of(key, cut, number).key, what) for number, what in wrong.items()]

    def _look_at_object(self, key: str, copies: Copies) -> None:
        self.done.objects += 1
        outcomes = self._sites.each(self._sites.ready(), lambda one: one.store.get(key))
        sound = [one.value for one in outcomes if one.value is not None and is_sound(key, one.value)]
        right, _ = _commonest(sound)
        for outcome in outcomes:
            what = ""
            if outcome.value is not None:
                self.done.bytes += len(outcome.value)
                if outcome.member.position not in copies.good:
                    what = "it is out of date"
                elif not is_sound(key, outcome.value):
                    what = "its bytes do not hash to what it says"
                elif outcome.value != right:
                    what = "it differs from what others hold"
            elif isinstance(outcome.error, ObjectNotFoundError):
                what = "it is missing"
            if what:
                self.done.damages.append(self._damage(outcome.member.position, key, key, what))
        if not sound:
            self.done.lost[key] = "no site has it sound"

    def _damage(self, position: int, pack: str, key: str, what: str) -> StripeDamage:
        return StripeDamage(position, self._sites.members[position].store.url, pack, key, what)
