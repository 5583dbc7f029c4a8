"""Outputs of `holdfast lock`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Damaged, Record, SnapshotRef, Time

__all__ = [
    "MomentFacts",
    "LockMoments",
    "LockFailure",
    "LockSet",
    "LocksExtended",
    "LocksShown",
    "SnapshotLockFacts",
    "RecoveryPlanned",
    "RecoveryStep",
    "RecoveryDone",
]


class LockFailure(msgspec.Struct, frozen=True, kw_only=True):
    """An object that could not be locked, and why."""

    object: str
    message: str


class LocksExtended(Record, frozen=True, kw_only=True, tag="holdfast/lock-extend/1"):
    """`lock extend`. `until`: all snapshots are locked until then; null where something is not locked.

    `asked`: objects whose locks were set or looked up. `versions`: older versions of objects among them. `let_go`:
    snapshots that the policy lets go: their locks are not renewed. `hidden`: roots that were hidden before their locks
    ended. `planned`: with `--dry-run` what there is, and what is wanted; then nothing was locked.
    """

    vault: str
    snapshots: Count
    until: Time | None
    asked: Count
    versions: Count
    failures: list[LockFailure]
    unreadable: list[str]
    let_go: Count
    hidden: list[str]
    planned: LocksShown | None = None


class LockSet(Record, frozen=True, kw_only=True, tag="holdfast/lock-set/1"):
    """`lock set`. `mode`: governance, compliance or off. `seconds`: how long everything is locked; `policy`: whether a
    retention policy says what is locked for longer, up to `longest` seconds from its content. `locked`: what there was
    to lock, null for off. `planned`: with `--dry-run` what would be asked for; `generation` is 0 then.
    """

    vault: str
    generation: Count
    mode: str
    seconds: Count
    policy: bool
    longest: Count
    locked: LocksExtended | None
    planned: LocksShown | None = None


class SnapshotLockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot. `until`: nobody can destroy it before; null where something of it is not locked at all.

    `objects`: all that restoring it needs; `unlocked` of them are not locked. `weakest`: those locked for the shortest.
    `promised`: until when it has to be locked; `renewed`: it is kept without an end that is known, and locked anew
    again and again; `because`: why, what lasts longest first. Without a lock setting they are null, false and empty.
    """

    key: str
    snapshot: SnapshotRef | None
    asset: str | None
    until: Time | None
    protected: bool
    objects: Count
    unlocked: Count
    weakest: list[str]
    promised: Time | None
    renewed: bool
    because: list[str]
    error: str | None


class LocksShown(Record, frozen=True, kw_only=True, tag="holdfast/lock-show/1"):
    """`lock show`, as the store tells it. `mode` is null where the vault has no setting. `bucket`: why the bucket locks
    nothing, null where it does. `policy`: whether a retention policy says for how long. `short`: snapshots that are
    locked for less than was promised: `lock extend` is due. `overwritten`: objects that are written once and have
    several versions. `deleted`: objects that are gone and have versions still; `hidden`: those of them that were locked
    when they went.
    """

    vault: str
    now: Time
    mode: str | None
    seconds: Count
    bucket: str | None
    notes: list[str]
    snapshots: list[SnapshotLockFacts]
    unprotected: Count
    short: Count
    policy: bool
    overwritten: list[str]
    deleted: Count
    hidden: list[str]


class RecoveryStep(msgspec.Struct, frozen=True, kw_only=True):
    """`action`: `restore` (the version becomes current again) or `set aside` (hidden; it can be had back)."""

    action: str
    object: str
    version: str
    written: Time
    bytes: Bytes
    why: str


class RecoveryDone(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. `locked_until`: of all that is there now; null where it is not locked."""

    restored: Count
    set_aside: Count
    bytes: Bytes
    failures: list[Damaged]
    locked_until: Time | None


class RecoveryPlanned(Record, frozen=True, kw_only=True, tag="holdfast/lock-recover/1"):
    """`lock recover`. `snapshots`: whole as of `before`. `damages`: what is not. `first_change`: when an object that is
    written once was first overwritten or deleted, as far as versions tell. `done` is null without `--apply`.
    """

    vault: str
    before: Time
    objects: Count
    snapshots: list[SnapshotRef]
    damages: list[Damaged]
    first_change: Time | None
    steps: list[RecoveryStep]
    digest: str
    done: RecoveryDone | None


class MomentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The vault as of `time`, by the store's clock. `snapshots`: those that were whole. `damaged`: objects that were
    not sound. `hidden`: roots that were gone though they were locked. `error`: why the vault did not open. `then`: what
    happened right after, in words; null for the present.
    """

    time: Time
    whole: bool
    snapshots: list[SnapshotRef]
    damaged: list[str]
    hidden: list[str]
    error: str | None
    then: str | None


class LockMoments(Record, frozen=True, kw_only=True, tag="holdfast/lock-moments/1"):
    """`lock moments`: the newest first. `newest_whole`: the first of them at which the vault was whole."""

    url: str
    moments: list[MomentFacts]
    newest_whole: Time | None
