"""Facts about snapshots, from the vaults on several stores: where each lies, since when, what it needs. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from holdfast.errors import DamageError, HoldfastError
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.tiering.facts import Lying, PackId, Snapshot
from holdfast.vault.checking.proofs import Proofs, Proven
from holdfast.vault.format.names import PACKS, SNAPSHOTS
from holdfast.vault.format.records import Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import list_roots
from holdfast.vault.snapshots.holds import is_hold
from holdfast.vault.snapshots.pointers import read_pointers
from holdfast.vault.snapshots.refs import LATEST, VALIDATED
from holdfast.vault.snapshots.roots import CLOCK_SLACK_NS, content_time

__all__ = ["Gathered", "gather_snapshots"]


class Gathered(NamedTuple):
    """`snapshots` and `packs` for `Facts`. `left_out`: what cannot be read, so nothing is moved of it, and why."""

    snapshots: tuple[Snapshot, ...]
    packs: dict[PackId, int]
    left_out: dict[str, str]


class _At(NamedTuple):
    store: str
    root: Root
    lying: Lying
    refs: frozenset[str]


def gather_snapshots(
    stores: Mapping[str, Handle],
    homes: Mapping[str, Iterable[str]],
    *,
    reads: Mapping[str, Iterable[int]] | None = None,
    ends: Mapping[str, int] | None = None,
) -> Gathered:
    """Everything that lies on these stores. Reads roots, pointers and manifests, no packs.

    `homes`: asset → the stores of its home, where `latest` and `validated` count; other assets are left out. `reads`:
    snapshot → when it was read at its home (ns). `ends`: snapshot → when retention drops it. A restore is taken to
    fetch every byte of the packs that it needs: more than it does, so that it is never slower than was thought. Raises
    what the stores raise.
    """
    found: dict[str, list[_At]] = {}
    left_out: dict[str, str] = {}
    for name, handle in stores.items():
        for at in _at_store(name, handle, left_out):
            found.setdefault(at.root.id, []).append(at)
    snapshots, packs = [], {}
    keys: dict[str, frozenset[str]] = {}
    for snapshot, places in sorted(found.items()):
        root = places[0].root
        if root.asset not in homes:
            left_out[snapshot] = f"asset {root.asset!r} is not declared"
            continue
        try:
            needed = _packs_anywhere(stores, places, keys)
        except HoldfastError as error:
            left_out[snapshot] = error.message
            continue
        packs.update(needed)
        home = set(homes.get(root.asset, ()))
        at_home = {name for one in places if one.store in home for name in one.refs}
        snapshots.append(
            Snapshot(
                id=snapshot,
                asset=root.asset,
                time_ns=content_time(root),
                bytes=sum(part.size for part in root.parts),
                fetch_bytes=sum(needed.values()),
                packs=frozenset(needed),
                at={one.store: one.lying for one in places},
                reads_ns=tuple((reads or {}).get(snapshot, ())),
                latest=LATEST in at_home,
                validated=VALIDATED in at_home,
                ends_ns=(ends or {}).get(snapshot),
            )
        )
    return Gathered(tuple(snapshots), packs, left_out)


def _at_store(name: str, handle: Handle, left_out: dict[str, str]) -> Iterable[_At]:
    proven = Proofs(handle).snapshots()
    since = {info.key: info.modified_ns for info in handle.store.list(SNAPSHOTS)}
    pointers: dict[str, dict[str, Ref]] = {}
    for listed in list_roots(handle):
        root = listed.root
        if root is None:
            left_out[f"{listed.key} at {name}"] = listed.error.message if listed.error else "it cannot be read"
            continue
        if root.asset not in pointers:
            pointers[root.asset] = read_pointers(handle, root.asset)
        refs = frozenset(ref for ref, one in pointers[root.asset].items() if one.target == root.id)
        yield _At(name, root, _lying(since.get(listed.key, root.created), proven.get(root.id), refs), refs)


def _lying(since_ns: int, proven: Proven | None, refs: Iterable[str]) -> Lying:
    return Lying(
        since_ns=since_ns,
        verified_ns=proven.at if proven is not None and proven.at + CLOCK_SLACK_NS >= since_ns else None,
        pointed_by=tuple(sorted("held" if is_hold(name) else name for name in refs)),
    )


def _packs_anywhere(
    stores: Mapping[str, Handle], places: Iterable[_At], keys: dict[str, frozenset[str]]
) -> dict[PackId, int]:
    """The packs that it needs, by the first store that can tell: all that hold a chunk of it. `keys`: store → packs.
    Raises the last store's error.
    """
    last: HoldfastError = DamageError("it lies nowhere")
    for one in places:
        handle = stores[one.store]
        try:
            stored = keys.get(one.store)
            if stored is None:
                stored = keys[one.store] = frozenset(info.key for info in handle.store.list(PACKS))
            return {PackId(pack): size for pack, size in packs_of(handle, one.root, stored).items()}
        except HoldfastError as error:
            last = error
    raise last
