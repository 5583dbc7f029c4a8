"""What retention has to know of a vault: gathered from roots, pointers, leases and thinned records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from holdfast.errors import DamageError, HoldfastError, NotFoundError, UntrustedError
from holdfast.ids import SnapshotId
from holdfast.objectives.retention import SnapshotFact
from holdfast.vault.collecting.leases import seen_leases
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import PartLink, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.holds import held_by
from holdfast.vault.snapshots.pointers import read_pointers
from holdfast.vault.snapshots.quarantine import QUARANTINED, Mark, marks_of, meant_by
from holdfast.vault.snapshots.refs import LATEST, RESERVED, VALIDATED, read_backwards
from holdfast.vault.snapshots.roots import list_roots
from holdfast.vault.snapshots.thinning import Thinnings

__all__ = ["Gathered", "gather_facts", "components_of"]


class Gathered(NamedTuple):
    """Facts about the snapshots of the assets that were asked for.

    `roots`: all that can be read, those of other assets, too, by id. `unread`: key → error of the others, which stay as
    they are. `unjudged`: asset → error of a pointer that cannot be read: nobody knows what it protects, so
    all of that asset stays.
    """

    facts: list[SnapshotFact]
    roots: dict[str, Root]
    thinnings: Thinnings
    unread: dict[str, HoldfastError]
    unjudged: dict[str, HoldfastError]


def gather_facts(handle: Handle, wanted: Callable[[str], bool], now_ns: int, *, own_lease: str = "") -> Gathered:
    """The facts about all assets whose names are `wanted`. `own_lease`: the session of a lease that protects nothing.

    `now_ns`: the store's time. Raises CredentialError for one who may not read.
    """
    handle.keys.require_reader("planning what to keep")
    active = [lease.start_ns for lease in seen_leases(handle) if lease.session != own_lease and lease.is_active(now_ns)]
    thinnings = Thinnings(handle)  # before the roots: what is thinned later is found out when the plan is applied
    committed = {info.key: info.modified_ns for info in handle.store.list(SNAPSHOTS)}
    roots: dict[str, Root] = {}
    unread: dict[str, HoldfastError] = {}
    for listed in list_roots(handle):
        if listed.root is not None:
            roots[listed.root.id] = listed.root
        elif listed.error is not None:
            unread[listed.key] = listed.error
    facts: list[SnapshotFact] = []
    unjudged: dict[str, HoldfastError] = {}
    for asset in sorted({root.asset for root in roots.values()}):
        if wanted(asset):
            of_asset = [root for root in roots.values() if root.asset == asset]
            try:
                found = _Asset(handle, asset, of_asset, thinnings)
            except (DamageError, UntrustedError, NotFoundError) as error:
                unjudged[asset] = error
                continue
            facts += found.facts(committed, min(active, default=None), now_ns)
    return Gathered(facts, roots, thinnings, unread, unjudged)


def components_of(links: Iterable[PartLink]) -> dict[str, int]:
    """Component → bytes of its files, of those that have any."""
    sizes: dict[str, int] = {}
    for link in links:
        if link.files:
            sizes[link.component] = sizes.get(link.component, 0) + link.size
    return dict(sorted(sizes.items()))


class _Asset:
    """One asset's snapshots, and what points to them."""

    def __init__(self, handle: Handle, asset: str, roots: list[Root], thinnings: Thinnings) -> None:
        self._handle = handle
        self._asset = asset
        self._roots = roots
        self._refs: Mapping[str, Ref] = read_pointers(handle, asset)
        has_marks = any(name.startswith(RESERVED) for name in self._refs)
        self._marks: Mapping[str, Mark] = marks_of(handle, asset) if has_marks else {}
        ids = {root.id for root in roots}
        self._meant = {LATEST: meant_by(handle, asset, LATEST, self._refs, ids)}
        if VALIDATED in self._refs and self._refs[VALIDATED].target in ids:
            # Where it leads to what is not there, or cannot be read, nothing counts as validated, and all stays.
            self._meant[VALIDATED] = meant_by(handle, asset, VALIDATED, self._refs, ids)
        self._links = {root.id: thinnings.links(root) for root in roots}
        self._given_up = {root.id: list(thinnings.components(root)) for root in roots}
        self._components = {id_: components_of(links) for id_, links in self._links.items()}
        self._proven = self._proven_witnesses()

    def _proven_witnesses(self) -> set[str]:
        """Of each component the newest snapshot that `validated` pointed to and that still has it; and its target.

        The pointer's history is read no further than to find them.
        """
        missing = {name for sizes in self._components.values() for name in sizes}
        found = set()
        for ref in read_backwards(self._handle, self._asset, VALIDATED):
            sizes = self._components.get(ref.target)
            if sizes is not None and ref.target not in self._marks:
                found.add(ref.target)
                missing -= sizes.keys()
            if not missing:
                break
        return found

    def facts(self, committed: Mapping[str, int], leased_from: int | None, now_ns: int) -> list[SnapshotFact]:
        return [self._fact(root, committed, leased_from, now_ns) for root in self._roots]

    def _fact(self, root: Root, committed: Mapping[str, int], leased_from: int | None, now_ns: int) -> SnapshotFact:
        key = self._handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
        since = committed.get(key, now_ns)  # one that came after the listing is as young as can be
        names = {name for name, ref in self._refs.items() if ref.target == root.id}
        names |= {name for name, target in self._meant.items() if target == root.id}
        mark = self._marks.get(root.id)
        quarantined = mark is not None and mark.kind == QUARANTINED
        return SnapshotFact(
            id=root.id,
            asset=root.asset,
            created=root.created,
            content=root.content,
            committed=since,
            verdict=QUARANTINED if quarantined else root.validation.verdict,
            marked=quarantined and root.validation.verdict != QUARANTINED,
            components=self._components[root.id],
            step=root.step,
            given_up=self._given_up[root.id],
            latest=LATEST in names,
            validated=VALIDATED in names,
            proven=root.id in self._proven,
            leased=leased_from is not None and since >= leased_from,
            tags=sorted(name for name in names - {LATEST, VALIDATED} if not name.startswith(RESERVED)),
            holds=held_by(self._refs, root.id),
        )
