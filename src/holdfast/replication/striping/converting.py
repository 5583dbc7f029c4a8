"""From whole copies to stripes, and back: copy, verify, and only then delete what was there before."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from blake3 import blake3

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError, RefusedError, UsageError
from holdfast.replication.striping.healing import heal_stripes
from holdfast.replication.striping.layout import INTERNAL
from holdfast.replication.striping.packs import delete_shards
from holdfast.replication.striping.shards import SHARDS, parse_shard, shard_of
from holdfast.replication.striping.sites import Member
from holdfast.replication.striping.store import StripedStore
from holdfast.vault.format.names import PACKS

__all__ = ["Converted", "dissolve_stripes", "stripe_packs", "unstripe_packs"]


@dataclass
class Converted:
    """What was done. `failed`: packs that were left as they were, and why. `fragments`: those of which there are too
    few shards, and no whole copy: left by a write that was interrupted, or lost.
    """

    packs: int = 0
    bytes: int = 0
    fragments: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def stripe_packs(store: StripedStore) -> Converted:
    """Cut every large pack that lies whole at some site, and give every site whatever else is to lie whole there.

    The set was created at sites one of which, the home, holds a vault (others may hold replicas of it). Of each pack
    all shards are written and read back before the whole copies are deleted, the home's last. May be interrupted and
    called again. Raises RefusedError unless all sites answer.
    """
    _require_all(store)
    heal_stripes(store)

    def convert(key: str) -> int:
        data = store.whole.get(key)
        if blake3(data).hexdigest() != key.rpartition("/")[2]:
            raise DamageError(f"{key} is damaged at every site that has it whole", object_name=key)
        store.packs.put(key, data)
        _read_shards(store, key)
        for member in reversed(store.sites.order()):
            member.store.delete(key)
        return len(data)

    large = [info.key for info in store.whole.listed(PACKS, "", lambda key: False) if info.size >= store.whole_below]
    return _each(store, "striping packs", large, convert)


def unstripe_packs(store: StripedStore, positions: Collection[int] | None = None) -> Converted:
    """Write every striped pack whole to these sites, by default the home and as many more as could be lost; then delete
    its shards. Each of these sites is a vault by itself afterwards.

    Raises RefusedError for fewer sites, without the home, or unless all sites answer.
    """
    _require_all(store)
    layout = store.layout
    if positions is None:
        positions = [member.position for member in store.sites.order()][: layout.n - layout.k + 1]
    if not all(0 <= position < layout.n for position in positions):
        raise UsageError(f"there are only the sites 0 to {layout.n - 1}")
    if len(set(positions)) <= layout.n - layout.k or layout.home not in positions:
        raise RefusedError(
            f"whole copies at {len(set(positions))} sites would survive less than the stripes do",
            hint=f"name at least {layout.n - layout.k + 1} sites, the home among them",
        )
    heal_stripes(store)
    members = [store.sites.members[position] for position in sorted(set(positions))]

    def convert(key: str) -> int:
        data = store.get(key)  # from shards, or from a whole copy that an interrupted run left
        for member in members:
            member.store.put(key, data)
            _check_whole(member, key)
        for member in reversed(store.sites.order()):
            delete_shards(member, key)
        store.packs.forget(key)
        return len(data)

    walked = [(key, seen.is_whole or _is_whole_somewhere(store, key)) for key, seen in store.packs.walk()]
    done = _each(store, "joining packs", [key for key, there in walked if there], convert)
    done.fragments = [key for key, there in walked if not there]
    return done


def _each(store: StripedStore, phase: str, keys: list[str], convert: Callable[[str], int]) -> Converted:
    done = Converted()
    store.sites.progress.phase(phase, None)
    for key in keys:
        try:
            size = convert(key)
        except HoldfastError as error:
            done.failed[key] = error.message
            continue
        done.packs += 1
        done.bytes += size
        store.sites.progress.advance(size, size)
    return done


def _read_shards(store: StripedStore, key: str) -> None:
    cut = store.packs.head_cut(key)

    def read(member: Member) -> None:
        shard = shard_of(key, cut, member.position)
        parse_shard(shard, member.store.get(shard.key))

    for outcome in store.sites.each(store.sites.members, read):
        if outcome.error is not None:
            raise outcome.error


def _check_whole(member: Member, key: str) -> None:
    if blake3(member.store.get(key)).hexdigest() != key.rpartition("/")[2]:
        raise DamageError(f"{key} was not stored at {member.name} as it was sent", object_name=key)


def _is_whole_somewhere(store: StripedStore, key: str) -> bool:
    try:
        store.whole.head(key)
    except ObjectNotFoundError:
        return False
    return True


def _require_all(store: StripedStore) -> None:
    store.sites.forget()
    store.sites.writing_home()
    absent = store.sites.absent()
    if absent:
        raise RefusedError(
            f"packs are converted only while all sites answer: {store.sites.told(absent)}", hint="wait for the site"
        )


def dissolve_stripes(store: StripedStore) -> None:
    """End a set that has no striped packs any more: the sites that have whole copies are vaults by themselves.

    Raises RefusedError while any shard is left, or unless all sites answer.
    """
    _require_all(store)
    for member in store.sites.members:
        left = next(member.store.list(SHARDS), None)
        if left is not None:
            raise RefusedError(f"{member.name} still has {left.key}", hint="join the packs first, and remove fragments")
    for member in reversed(store.sites.order()):
        for info in reversed(list(member.store.list(INTERNAL))):
            member.store.delete(info.key)
    store.sites.forget()
