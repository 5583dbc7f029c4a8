"""Deciding what to mend, and from where; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast.errors import HoldfastError
from holdfast.events import SILENT
from holdfast.ids import ChunkId, PartId, SnapshotId, is_snapshot_id
from holdfast.vault.checking.judging import judge
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, part_key
from holdfast.vault.format.records import Entry, PartLink, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.chunks import Chunks
from holdfast.vault.repairing.indexes import plan_index
from holdfast.vault.repairing.losses import loss_of
from holdfast.vault.repairing.model import FETCHED, REMOVED, SALVAGED, Fix, PointerMove, RepairPlan, SnapshotLoss
from holdfast.vault.repairing.overlay import Overlay
from holdfast.vault.repairing.pointers import pointer_moves, pointers_at
from holdfast.vault.repairing.survey import gaps_of, survey
from holdfast.vault.restoring.fallback import Replica, Replicas
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.snapshots.thinning import Thinnings

__all__ = ["plan_repair"]

_GENERATION = re.compile(r".*/[0-9]{10}")


def plan_repair(handle: Handle, replicas: Sequence[Replica] = ()) -> RepairPlan:
    """Read all of the vault, look for what is damaged or missing at the replicas, and say what cannot be mended.

    Nothing is written. Raises CredentialError without a key that reads.
    """
    handle.keys.require_reader("repairing the vault")
    return _Planning(handle, Replicas(handle.keys.vault, replicas, handle.progress)).run()


class _Planning:
    def __init__(self, handle: Handle, replicas: Replicas) -> None:
        self._handle = handle
        self._replicas = replicas
        self._overlay = Overlay(handle.store)
        self._later = Handle(self._overlay, handle.keys, handle.clock, SILENT, handle.workers)
        self._fixes: dict[str, Fix] = {}
        self._unmended: dict[str, str] = {}
        self._notes: list[str] = []

    def run(self) -> RepairPlan:
        handle = self._handle
        handle.refresh()
        self._seen = seen = survey(handle)
        for prefix in (CONFIG, REFS):
            for key in seen.bad_keys(prefix):
                self._heal_document(key)
            self._remove_copies()
            removed = {fix.key for fix in self._fixes.values() if fix.how == REMOVED}
            for key in gaps_of([key for key in self._all_keys(prefix) if key not in removed]):
                self._heal_document(key)
        for key in seen.bad_keys(THINNED):
            self._heal_document(key)
        pointers = pointers_at(self._later)
        roots, lost_roots = self._heal_roots(pointers)
        parts = self._heal_parts(roots)
        chunks = Chunks(handle, self._replicas, seen, self._mend)
        handle.progress.phase("looking at replicas", None)
        chunks.fetch_damaged()
        needed = _needed(parts)
        without = chunks.fetch_missing(needed)
        salvage, lost = chunks.sort_out(without)
        for key in seen.bad_keys(PACKS):
            if key not in self._fixes:
                self._leave(key)
        if salvage:
            self._mend(Fix(PACKS, SALVAGED, "", 0, f"{len(salvage)} chunks are in no whole pack of any site"))
        relisted = plan_index(handle, seen, self._fixes, self._mend)
        losses = [loss for root in roots if (loss := loss_of(root, parts[root.id], lost)) is not None]
        self._remove_copies()
        losses += self._lost_whole(lost_roots)
        moves = self._moves(losses)
        self._note_elsewhere(roots)
        objects = len(seen.sound) + len(seen.bad)
        fixes = list(self._fixes.values())
        return RepairPlan(objects, fixes, salvage, relisted, losses, self._unmended, moves, self._notes)

    def _all_keys(self, prefix: str) -> list[str]:
        return [*self._seen.keys(prefix), *self._seen.bad_keys(prefix)]

    def _mend(self, fix: Fix) -> None:
        self._fixes[fix.key] = fix

    def _heal_document(self, key: str, why: str = "") -> bool:
        """Whether a replica has the document, sound: it is then planned to be fetched."""
        why = why or self._seen.bad.get(key, f"{key} is missing")
        for replica in self._replicas.handles():
            try:
                data = replica.store.get(key)
                judge(self._handle.keys, key, data)
            except HoldfastError:
                continue
            self._overlay.added[key] = data
            self._mend(Fix(key, FETCHED, replica.store.url, len(data), why))
            return True
        if key in self._seen.bad:
            self._leave(key)
        else:
            self._unmended[key] = why
        return False

    def _leave(self, key: str) -> None:
        self._unmended[key] = self._seen.bad[key]
        self._overlay.hidden.add(key)

    def _heal_roots(self, pointers: Sequence[Ref]) -> tuple[list[Root], dict[str, str]]:
        """All roots that can be read, now or later; and keys of those that cannot, with why."""
        names = self._handle.keys.names
        lost: dict[str, str] = {}
        for key in self._seen.bad_keys(SNAPSHOTS):
            if not self._heal_document(key):
                lost[key] = self._seen.bad[key]
        for ref in pointers:
            if not is_snapshot_id(ref.target):
                continue
            key = names.snapshot_key(ref.asset, SnapshotId(ref.target))
            if key not in self._seen.sound and key not in self._seen.bad and key not in self._fixes:
                why = f"{key}, to which {ref.name!r} of {ref.asset!r} points, is missing"
                if not self._heal_document(key, why):
                    lost[key] = why
        keys = [*self._seen.keys(SNAPSHOTS), *(key for key in self._fixes if key.startswith(SNAPSHOTS))]
        return sorted((read_root(self._later, key) for key in keys), key=lambda root: root.id), lost

    def _heal_parts(self, roots: Sequence[Root]) -> dict[str, list[tuple[str, PartLink, list[Entry] | None]]]:
        """Of each snapshot the manifests that it still has: key, link, entries; None for one that no site has."""
        thinned = Thinnings(self._later)
        read: dict[str, list[Entry] | None] = {}
        found = {}
        for root in roots:
            members = []
            for link in thinned.links(root):
                key = part_key(PartId(link.id.hex()))
                if key not in read:
                    there = key in self._seen.sound or self._heal_document(key)
                    read[key] = read_part(self._later, PartId(link.id.hex())).entries if there else None
                members.append((key, link, read[key]))
            found[root.id] = members
        for key in self._seen.bad_keys(PARTS):
            if key not in read:
                self._heal_document(key)
        return found

    def _lost_whole(self, lost_roots: dict[str, str]) -> list[SnapshotLoss]:
        return [
            SnapshotLoss(key.rpartition("/")[2], "", None, why, [], [], 0, 0)
            for key, why in lost_roots.items()
            if key not in self._fixes
        ]

    def _remove_copies(self) -> None:
        """Copies of sound objects under names that are not theirs, where the name itself was never that of anything."""
        led_to = {ref.target for ref in pointers_at(self._later, history=True)} if self._unmended else set()
        consulted = any(True for _ in self._replicas.handles())
        for key in list(self._unmended):
            original = self._seen.digests.get(self._seen.bad_digests.get(key, b""))
            if original is None or not _may_go(key, led_to, consulted, self._seen.keys(key[:-10])):
                continue
            self._mend(Fix(key, REMOVED, "", 0, f"it is a copy of {original} under a name that is not its own"))
            del self._unmended[key]

    def _moves(self, losses: Sequence[SnapshotLoss]) -> list[PointerMove]:
        hurt = {loss.snapshot for loss in losses}
        return pointer_moves(self._later, hurt, self._notes) if hurt else []

    def _note_elsewhere(self, roots: Sequence[Root]) -> None:
        here = {*self._all_keys(SNAPSHOTS), *self._fixes}
        for replica in self._replicas.handles():
            try:
                more = sum(info.key not in here for info in replica.store.list(SNAPSHOTS))
            except HoldfastError as error:
                self._notes.append(f"{replica.store.url} cannot be listed: {error.message}")
                continue
            if more:
                self._notes.append(
                    f"{more} snapshots of {replica.store.url} are not here, and nothing here points to them: they were "
                    "dropped, or never copied; `holdfast replicate` would bring them"
                )


def _needed(parts: dict[str, list[tuple[str, PartLink, list[Entry] | None]]]) -> set[ChunkId]:
    seen: set[str] = set()
    chunks: set[ChunkId] = set()
    for members in parts.values():
        for key, _, entries in members:
            if key not in seen:
                seen.add(key)
                for entry in entries or ():
                    chunks.update(chunk for _, _, chunk, _ in entry_chunks(entry))
    return chunks


def _may_go(key: str, led_to: set[str], consulted: bool, series: Sequence[str]) -> bool:
    """Whether nothing is lost with the name. A name that may have been some other object's stays, and is reported."""
    if key.startswith((PACKS, INDEX, PARTS)):
        return True  # the bytes are there under their own name, and those of the name's own object are not here
    if not consulted:
        return False
    if key.startswith(SNAPSHOTS):
        return key.rpartition("/")[2] not in led_to
    return bool(_GENERATION.fullmatch(key)) and key > max(series, default="")
