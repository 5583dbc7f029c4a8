"""Deciding what to mend, and from where; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError
from holdfast.events import SILENT
from holdfast.ids import ChunkId, PartId, SnapshotId, is_snapshot_id
from holdfast.stores.protocol import store_identity
from holdfast.vault.checking.judging import judge
from holdfast.vault.format.names import (
    CONFIG,
    INDEX,
    PACKS,
    PARTS,
    REFS,
    SNAPSHOTS,
    THINNED,
    generation_of,
    part_key,
)
from holdfast.vault.format.records import Entry, PartLink, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.chunks import Chunks
from holdfast.vault.repairing.indexes import plan_index
from holdfast.vault.repairing.losses import loss_of
from holdfast.vault.repairing.model import FETCHED, REMOVED, SALVAGED, Fix, PointerMove, RepairPlan, SnapshotLoss
from holdfast.vault.repairing.overlay import Overlay
from holdfast.vault.repairing.pointers import pointer_moves, pointers_at
from holdfast.vault.repairing.survey import TROUBLE, gaps_of, survey
from holdfast.vault.restoring.fallback import Replica, Replicas
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.snapshots.thinning import Thinnings

__all__ = ["plan_repair"]

_Members = list[tuple[str, PartLink, list[Entry] | None]]  # key, link, entries: None where no site has the manifest


def plan_repair(handle: Handle, replicas: Sequence[Replica] = ()) -> RepairPlan:
    """Read all of the vault, look for what is damaged or missing at the replicas, and say what cannot be mended.

    Nothing is written. Others may go on saving and collecting: what is new is no loss, and neither is what was dropped.
    Raises CredentialError without a key that reads, StoreUnreachableError where this store does not answer.
    """
    handle.keys.require_reader("repairing the vault")
    return _Planning(
        handle, Replicas(handle.keys.vault, replicas, handle.progress, own=store_identity(handle.store))
    ).run()


class _Planning:
    def __init__(self, handle: Handle, replicas: Replicas) -> None:
        self._handle = handle
        self._replicas = replicas
        self._overlay = Overlay(handle.store)
        self._later = Handle(self._overlay, handle.keys, handle.clock, SILENT, handle.workers)
        self._fixes: dict[str, Fix] = {}
        self._unmended: dict[str, str] = {}
        self._notes: list[str] = []
        self._unreached = False  # there are parts that no root names

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
        relisted = plan_index(handle, seen, self._fixes, self._mend, self._unmended)
        losses = [
            loss
            for root in roots
            if (loss := loss_of(root, parts[self._key_of(root)], lost)) is not None and not self._was_dropped(root)
        ]
        self._remove_copies()
        losses += self._lost_whole(lost_roots)
        self._note_elsewhere()
        moves = self._moves(losses)
        objects = len(seen.sound) + len(seen.bad)
        fixes = list(self._fixes.values())
        needs = chunks.needs(_needed(self._fetched_members(parts))) | self._fetched_keys(parts)
        return RepairPlan(objects, fixes, salvage, relisted, losses, self._unmended, moves, self._notes, needs)

    def _fetched_members(self, parts: dict[str, _Members]) -> dict[str, _Members]:
        """Of snapshots whose roots are to be fetched: while these were gone, what they need may have been condemned."""
        return {key: members for key, members in parts.items() if key in self._overlay.added}

    def _fetched_keys(self, parts: dict[str, _Members]) -> frozenset[str]:
        members = self._fetched_members(parts).values()
        fetched = {fix.key for fix in self._fixes.values() if fix.how == FETCHED}
        return frozenset(fetched | {key for links in members for key, _, _ in links})

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
            except HoldfastError as error:
                self._replicas.unanswered(replica, error)
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

    def _is_there(self, key: str) -> bool:
        """Whether the object is here, sound: also one that was written after its kind was looked at."""
        if key in self._seen.sound or key in self._seen.bad:
            return key in self._seen.sound
        data = b""
        try:
            data = self._handle.store.get(key)
            judge(self._handle.keys, key, data)
        except ObjectNotFoundError:
            return False
        except TROUBLE as error:
            self._seen.bad[key] = error.message
            return False
        self._seen.sound[key] = len(data)
        return True

    def _key_of(self, root: Root) -> str:
        return self._handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))

    def _was_dropped(self, root: Root) -> bool:
        """Whether the root was here, and is not any more: what it needed may be gone, too."""
        key = self._key_of(root)
        if key in self._overlay.added:
            return False
        try:
            self._handle.store.head(key)
        except ObjectNotFoundError:
            return True
        return False

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
            if key not in self._fixes and not self._is_there(key) and key not in lost:
                why = f"{key}, to which {ref.name!r} of {ref.asset!r} points, is missing"
                if not self._heal_document(key, why):
                    lost[key] = why
        keys = [*self._seen.keys(SNAPSHOTS), *(key for key in self._fixes if key.startswith(SNAPSHOTS))]
        roots = []
        for key in dict.fromkeys(keys):
            with suppress(ObjectNotFoundError):  # dropped since it was listed
                roots.append(read_root(self._later, key))
        return sorted(roots, key=lambda root: root.id), lost

    def _heal_parts(self, roots: Sequence[Root]) -> dict[str, _Members]:
        """The manifests that each snapshot still has, by the key of its root."""
        thinned = Thinnings(self._later)
        read: dict[str, list[Entry] | None] = {}
        found: dict[str, _Members] = {}
        for root in roots:
            members = found.setdefault(self._key_of(root), [])
            for link in thinned.links(root):
                key, part = part_key(PartId(link.id.hex())), PartId(link.id.hex())
                if read.get(key) is None and not self._entries(part, read) and self._was_dropped(root):
                    members.clear()
                    break
                if key not in read:
                    there = self._heal_document(key)
                    read[key] = read_part(self._later, part).entries if there else None
                members.append((key, link, read[key]))
        for key in self._seen.bad_keys(PARTS):
            if key not in read:
                self._heal_document(key)
        named = {part_key(PartId(link.id.hex())) for root in roots for link in root.parts}
        self._unreached = any(key not in named for key in self._all_keys(PARTS))
        return found

    def _entries(self, part: PartId, read: dict[str, list[Entry] | None]) -> bool:
        """Whether the manifest is here, and in `read` now."""
        key = part_key(part)
        if not self._is_there(key):
            return False
        try:
            read[key] = read_part(self._handle, part).entries
        except DamageError:  # collected since it was looked at
            self._seen.sound.pop(key, None)
            return False
        return True

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
            if original is None or not self._may_go(key, led_to, consulted):
                continue
            self._mend(Fix(key, REMOVED, "", 0, f"it is a copy of {original} under a name that is not its own"))
            del self._unmended[key]

    def _may_go(self, key: str, led_to: set[str], consulted: bool) -> bool:
        """Whether nothing is lost with the name. A name that may have been some other object's stays, and is reported:
        a replica may lag, and not know yet what was there.
        """
        if key.startswith((PACKS, INDEX, PARTS)):
            return True  # the bytes are there under their own name, and those of the name's own object are not here
        if not consulted:
            return False
        if key.startswith(SNAPSHOTS):
            return key.rpartition("/")[2] not in led_to and not self._unreached
        # The next generation may have been the newest one; a higher one was never reached.
        highest = max((generation_of(other) or 0 for other in self._seen.keys(key[:-10])), default=0)
        return (generation_of(key) or 0) > highest + 1

    def _moves(self, losses: Sequence[SnapshotLoss]) -> list[PointerMove]:
        hurt = {loss.snapshot for loss in losses}
        silent = self._replicas.silent
        if silent and (hurt or self._unmended):
            self._notes += [f"{url} may have what is missing, but did not tell: {why}" for url, why in silent.items()]
            self._notes += ["no pointer is moved before all replicas that are named have answered"] if hurt else []
            return []
        return pointer_moves(self._later, hurt, self._notes) if hurt else []

    def _note_elsewhere(self) -> None:
        here = {*self._all_keys(SNAPSHOTS), *self._fixes}
        for replica in self._replicas.handles():
            try:
                more = sum(info.key not in here for info in replica.store.list(SNAPSHOTS))
            except HoldfastError as error:
                self._replicas.unanswered(replica, error)
                self._notes.append(f"{replica.store.url} cannot be listed: {error.message}")
                continue
            if more:
                self._notes.append(
                    f"{more} snapshots of {replica.store.url} are not here, and nothing here points to them: they were "
                    "dropped, or never copied; `holdfast replicate` would bring them"
                )


def _needed(parts: dict[str, _Members]) -> set[ChunkId]:
    seen: set[str] = set()
    chunks: set[ChunkId] = set()
    for members in parts.values():
        for key, _, entries in members:
            if key not in seen:
                seen.add(key)
                for entry in entries or ():
                    chunks.update(chunk for _, _, chunk, _ in entry_chunks(entry))
    return chunks
