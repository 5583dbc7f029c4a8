"""Facts about locks, and about going back to before an attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import Damaged
from holdfast.cli.schemas.locks import (
    LockFailure,
    LockMoments,
    LockSet,
    LocksExtended,
    LocksShown,
    MomentFacts,
    RecoveryDone,
    RecoveryPlanned,
    RecoveryStep,
    SnapshotLockFacts,
)
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.vault.locking.extending import Extended
    from holdfast.vault.locking.moments import Moment
    from holdfast.vault.locking.recovering import Recovered, RecoveryPlan
    from holdfast.vault.locking.setting import LockSetting
    from holdfast.vault.locking.state import LockReport, SnapshotLock
    from holdfast.vault.vault import Vault

__all__ = [
    "extended_facts",
    "extension_planned_facts",
    "lock_planned_facts",
    "lock_set_facts",
    "locks_facts",
    "moments_facts",
    "recovery_facts",
]


def extended_facts(vault: Vault, done: Extended) -> LocksExtended:
    """What extending the locks did."""
    return LocksExtended(
        vault=vault.id,
        snapshots=done.snapshots,
        until=_time(done.until_ns),
        asked=done.asked,
        versions=done.versions,
        failures=[
            LockFailure(object=one.key, message=clean(one.error.message) if one.error is not None else "not locked")
            for one in done.failures
        ],
        unreadable=list(done.unreadable),
        let_go=done.let_go,
        hidden=list(done.hidden),
    )


def extension_planned_facts(vault: Vault, report: LockReport) -> LocksExtended:
    """What extending the locks is there to do."""
    return LocksExtended(
        vault=vault.id,
        snapshots=len(report.snapshots),
        until=None,
        asked=0,
        versions=0,
        failures=[],
        unreadable=[one.key for one in report.snapshots if one.root is None],
        let_go=sum(one.term is not None and not one.term.renewed for one in report.snapshots),
        hidden=[one.key for one in report.hidden],
        planned=locks_facts(vault, report),
    )


def lock_planned_facts(vault: Vault, report: LockReport, longest: float) -> LockSet:
    """What a setting would ask for."""
    setting = report.setting
    assert setting is not None, "it is what was asked about"
    made = lock_set_facts(vault, setting, None, longest)
    return msgspec.structs.replace(made, planned=locks_facts(vault, report))


def lock_set_facts(vault: Vault, setting: LockSetting, done: Extended | None, longest: float = 0.0) -> LockSet:
    """The new setting, and what was locked by it at once."""
    return LockSet(
        vault=vault.id,
        generation=setting.generation,
        mode=setting.mode,
        seconds=setting.seconds,
        policy=bool(setting.policy),
        longest=round(longest),
        locked=extended_facts(vault, done) if done is not None else None,
    )


def locks_facts(vault: Vault, report: LockReport) -> LocksShown:
    """What is locked."""
    return LocksShown(
        vault=vault.id,
        now=to_rfc3339(report.now_ns),
        mode=report.setting.mode if report.setting is not None else None,
        seconds=report.setting.seconds if report.setting is not None else 0,
        bucket=clean(report.support.reason) or None,
        notes=[clean(note) for note in report.support.notes],
        snapshots=[_snapshot(one, report.now_ns) for one in report.snapshots],
        unprotected=len(report.unprotected),
        short=sum(one.is_short for one in report.snapshots),
        policy=report.setting is not None and bool(report.setting.policy),
        overwritten=list(report.overwritten),
        deleted=report.deleted,
        hidden=[one.key for one in report.hidden],
    )


def recovery_facts(plan: RecoveryPlan, done: Recovered | None, extended: Extended | None) -> RecoveryPlanned:
    """A plan to go back, and what applying it did."""
    return RecoveryPlanned(
        vault=plan.vault,
        before=to_rfc3339(plan.before_ns),
        objects=plan.objects,
        snapshots=list(plan.snapshots),
        damages=[Damaged(object=clean(one.object), message=clean(one.message)) for one in plan.damages],
        first_change=_time(plan.first_ns),
        steps=[
            RecoveryStep(
                action=one.action,
                object=one.key,
                version=one.version,
                written=to_rfc3339(one.modified_ns),
                bytes=one.size,
                why=one.why,
            )
            for one in plan.steps
        ],
        digest=plan.digest,
        done=_done(done, extended) if done is not None else None,
    )


def moments_facts(url: str, moments: Sequence[Moment]) -> LockMoments:
    """What the vault was at several moments, the newest first."""
    return LockMoments(
        url=url,
        moments=[
            MomentFacts(
                time=to_rfc3339(one.time_ns),
                whole=one.is_whole,
                snapshots=list(one.snapshots),
                damaged=list(one.damaged),
                hidden=list(one.hidden),
                error=clean(one.error) or None,
                then=str(one.then) if one.then is not None else None,
            )
            for one in moments
        ],
        newest_whole=next((to_rfc3339(one.time_ns) for one in moments if one.is_whole), None),
    )


def _done(done: Recovered, extended: Extended | None) -> RecoveryDone:
    return RecoveryDone(
        restored=done.restored,
        set_aside=done.set_aside,
        bytes=done.bytes,
        failures=[Damaged(object=step.key, message=clean(why)) for step, why in done.failures],
        locked_until=_time(extended.until_ns) if extended is not None else None,
    )


def _snapshot(one: SnapshotLock, now_ns: int) -> SnapshotLockFacts:
    return SnapshotLockFacts(
        key=one.key,
        snapshot=one.root.id if one.root is not None else None,
        asset=clean(one.root.asset) if one.root is not None else None,
        until=_time(one.until_ns or None),
        protected=not one.error and (one.until_ns > now_ns or one.is_let_go(now_ns)),
        objects=one.objects,
        unlocked=one.unlocked,
        weakest=list(one.weakest),
        promised=_time(one.term.until) if one.term is not None else None,
        renewed=one.term is not None and one.term.renewed,
        because=[clean(why) for why in one.term.because] if one.term is not None else [],
        error=clean(one.error) or None,
    )


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else to_rfc3339(time_ns)
