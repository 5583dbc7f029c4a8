"""A root from what the ranks of a save announced. Whoever sees that all have may write it: it is the same root, and it
is created once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from holdfast.errors import ConflictError, DamageError, NotFoundError, ObjectNotFoundError, RefusedError, UntrustedError
from holdfast.ids import PartId, SnapshotId
from holdfast.vault.checking.verifying import DECODED, STORED_BYTES, Verified, move_validated
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.collecting.safety import LEASE_S
from holdfast.vault.format.names import part_key
from holdfast.vault.format.records import Announcement, Root
from holdfast.vault.handle import Handle
from holdfast.vault.saving.announcing import Announced, announced_id, created_of
from holdfast.vault.saving.committing import remove_root, write_root
from holdfast.vault.saving.validation import Policy, judge_findings
from holdfast.vault.snapshots.advancing import advance_ref
from holdfast.vault.snapshots.finding import read_root
from holdfast.vault.snapshots.quarantine import is_set_aside
from holdfast.vault.snapshots.refs import LATEST, move_ref, read_newest_ref

__all__ = ["Assembled", "assemble", "is_settled", "require_in_time", "root_key"]

_KEPT_FOR_S = LEASE_S * 3 / 4  # as the holders of leases count: the rest is for clocks, and for the request itself
_READERS = 16
_CLOCKS_APART_NS = round(LEASE_S) * 1_000_000_000  # what a rank's clock may be ahead
_COUNT_MAX = (1 << 63) - 1  # what a record holds, whatever somebody claims


class Assembled(NamedTuple):
    """The snapshot of a save. `is_new`: this call made it; else somebody else had. `root` is None where this key cannot
    read what the other one wrote. The others are as in `Committed`.
    """

    snapshot: SnapshotId
    root: Root | None
    is_new: bool
    latest: bool = False
    validated: bool = False
    tags: tuple[str, ...] = ()


def root_key(handle: Handle, announced: Announced) -> str:
    """Where the root of the save lies, or will."""
    return handle.keys.names.snapshot_key(announced.first.asset, announced_id(handle, announced))


def is_settled(handle: Handle, announced: Announced) -> bool:
    """Whether the snapshot is there, and nothing is left to be done for it, as far as this key can tell."""
    key = root_key(handle, announced)
    if not _is_there(handle, key):
        return False
    return not handle.keys.can_read or _is_past_pointing(handle, read_root(handle, key))


def assemble(
    handle: Handle,
    announced: Announced,
    lease: HeldLease,
    *,
    known_content: int = 0,
    committed: Callable[[Root], None] | None = None,
) -> Assembled:
    """Write the root, read it back, and point `latest`, `validated` and the tags to it.

    `lease` is the caller's own. `known_content`: content time of the newest snapshot that a caller who cannot read
    knows of. `committed` as for `Vault.save`. Raises RefusedError when the save is abandoned (its deadline is over, or
    what it stored is not kept by leases any more), DamageError, ConflictError, and what the store and `committed`
    raise.
    """
    snapshot = announced_id(handle, announced)
    key = root_key(handle, announced)
    if _is_there(handle, key):
        return _found(handle, announced, snapshot, committed)
    require_in_time(handle, announced)
    _require_parts(handle, announced)
    try:
        _require_kept(handle, announced, lease)  # behind what may take long
    except RefusedError:
        if _is_there(handle, key):  # whoever was faster has given its lease back
            return _found(handle, announced, snapshot, committed)
        raise
    root = _root_of(handle, announced, snapshot)
    lease.keep()
    lease.require()
    try:
        written = write_root(handle, root, [], {})
    except ConflictError:
        return _found(handle, announced, snapshot, committed)  # somebody else was faster, with the same root
    try:
        _read_back(handle, key, root)
    except (DamageError, ObjectNotFoundError, UntrustedError):
        remove_root(handle, written)
        raise
    if committed is not None:
        lease.keep()
        committed(written.root)
    return _point(handle, announced, root, known_content)


def _point(handle: Handle, announced: Announced, root: Root, known_content: int, *, late: bool = False) -> Assembled:
    """`late`: what was tagged since then stays tagged."""
    snapshot = SnapshotId(root.id)
    if root.validation.verdict == "quarantined":
        return Assembled(snapshot, root, is_new=True)
    if handle.keys.can_read:
        latest = advance_ref(handle, root, LATEST, "saved by many ranks")
    else:
        newer = root.content >= min(known_content, root.created)
        latest = newer and bool(move_ref(handle, root.asset, LATEST, root.id, "saved by many ranks"))
    if not latest:
        handle.progress.note(f"`latest` of {root.asset!r} stays where it is: the content there is newer")
    verified = _read_by_all(announced)
    may_move = verified is not None and (latest or handle.keys.can_read)
    validated = verified is not None and may_move and move_validated(handle, root, verified)
    tags = tuple(announced.first.tags)
    for tag in tags:
        unless = (lambda ref: ref.created > root.created) if late else None
        move_ref(handle, root.asset, tag, root.id, "tagged when saved", unless=unless)
    return Assembled(snapshot, root, is_new=True, latest=latest, validated=validated, tags=tags)


def _found(
    handle: Handle, announced: Announced, snapshot: SnapshotId, committed: Callable[[Root], None] | None
) -> Assembled:
    """Whoever made it moves the pointers, unless he died before: then this does, with a key that can tell."""
    if not handle.keys.can_read:
        return Assembled(snapshot, None, is_new=False)
    root = read_root(handle, root_key(handle, announced))
    if _is_past_pointing(handle, root):
        return Assembled(snapshot, root, is_new=False)
    if committed is not None:
        committed(root)
    return _point(handle, announced, root, 0, late=True)._replace(is_new=False)


def _is_past_pointing(handle: Handle, root: Root) -> bool:
    """Whether pointers need not be moved to it any more, or must not be: somebody may have set it aside meanwhile."""
    if root.validation.verdict == "quarantined":
        return True
    latest = read_newest_ref(handle, root.asset, LATEST)
    if latest is not None and latest.target >= root.id:  # ids sort by time
        return True
    return is_set_aside(handle, root.asset, root.id, LATEST)


def _is_there(handle: Handle, key: str) -> bool:
    try:
        handle.store.head(key)
    except ObjectNotFoundError:
        return False
    return True


def require_in_time(handle: Handle, announced: Announced) -> None:
    """Raises RefusedError when no snapshot may be made of it any more, or not yet."""
    if created_of(announced.records) > handle.clock.now_ns() + _CLOCKS_APART_NS:
        raise RefusedError(
            f"the save {announced.save} is dated in the future: the clock of one of its ranks, or this one, is wrong",
            hint="set the clocks, and save again",
        )
    if handle.clock.now_ns() > min(record.deadline for record in announced.records):
        raise RefusedError(
            f"the save {announced.save} was abandoned: not all of its ranks had announced when its time was over",
            hint="save again; what was stored is freed by a collection, or shared by the next save",
        )


def _require_kept(handle: Handle, announced: Announced, lease: HeldLease) -> None:
    """What the ranks stored or rely on is certainly there: their leases go on, by the store's clock."""
    now = lease.now_ns()
    wanted = {record.lease for record in announced.records}
    kept = {one.session for one in seen_leases(handle, wanted) if not one.is_over and one.is_active(now, _KEPT_FOR_S)}
    if wanted - kept:
        raise RefusedError(
            f"the save {announced.save} was abandoned: the leases of {len(wanted - kept)} of its ranks are over, and "
            "what they stored may have been collected",
            hint="save again; what is still there is not stored twice",
        )


def _require_parts(handle: Handle, announced: Announced) -> None:
    """Every manifest is there. Raises DamageError."""
    keys = {part_key(PartId(link.id.hex())) for record in announced.records for link in record.parts}

    def one(key: str) -> None:
        try:
            handle.store.head(key)
        except NotFoundError as error:
            raise DamageError(f"{key} is missing from {handle.store.url}", object_name=key) from error

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(one, keys))


def _root_of(handle: Handle, announced: Announced, snapshot: SnapshotId) -> Root:
    """The same for everybody but for the label of who writes it."""
    first, records = announced.first, announced.records
    findings = [finding for record in records for finding in record.findings]
    checks = list(dict.fromkeys(check for record in records for check in record.checks))
    return Root(
        id=snapshot,
        asset=first.asset,
        created=created_of(records),
        content=min(max(record.content for record in records), created_of(records)),
        step=first.step,
        parents=_distinct(parent for record in records for parent in record.parents),
        writer=handle.keys.label,
        source=first.source,
        name=first.name,
        parts=[link for record in records for link in record.parts],
        meta=dict(first.meta),
        versions=dict(first.versions),
        stats=_sum(records),
        validation=judge_findings(Policy(first.policy), findings, checks),
    )


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _sum(records: Collection[Announcement]) -> dict[str, int]:
    total: dict[str, int] = {}
    for record in records:
        for name, count in record.stats.items():
            total[name] = min(total.get(name, 0) + count, _COUNT_MAX)
    return total


def _read_back(handle: Handle, key: str, root: Root) -> None:
    """The stored root is what was written: its parts were read back by the ranks that wrote them."""
    if not handle.keys.can_read:
        handle.store.head(key)
        return
    stored = read_root(handle, key)
    if stored != msgspec.structs.replace(root, writer=stored.writer):
        raise DamageError(f"{key} does not hold what was written", object_name=key)


def _read_by_all(announced: Announced) -> Verified | None:
    """How the snapshot was read back, if every rank read back its own: as the weakest of them did."""
    checks = [record.check for record in announced.records]
    if any(check is None or check.level not in (DECODED, STORED_BYTES) for check in checks):
        return None
    sound = [check for check in checks if check is not None]
    level = DECODED if all(check.level == DECODED for check in sound) else STORED_BYTES
    files = sum(link.files for record in announced.records for link in record.parts)
    return Verified(level, files, 0, sum(check.bytes for check in sound))
