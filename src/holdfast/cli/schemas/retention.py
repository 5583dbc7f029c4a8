"""Outputs of `holdfast retention`, `snapshot hold` and `snapshot unhold`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, SnapshotRef, Time

__all__ = [
    "RetainedFacts",
    "RestorableFacts",
    "EffectFacts",
    "RetentionPlanned",
    "RetentionApplied",
    "SnapshotHeld",
    "SnapshotUnheld",
]


class RetainedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a snapshot: `keep`, `thin` (it loses `components`, name → bytes of their files) or `drop`.

    `locked_until`: of one that is to be dropped and that the store keeps locked; null where it can go now.
    """

    snapshot: SnapshotRef
    asset: str
    step: int | None
    content_time: Time
    action: str
    components: dict[str, Bytes]
    reasons: list[str]
    locked_until: Time | None


class RestorableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to restore. `longest_gap`: between the content of two snapshots that follow each other."""

    snapshots: Count
    oldest: Time | None
    newest: Time | None
    longest_gap: Seconds


class EffectFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an asset. `reading` bytes in `packs` are what restoring its latest snapshot reads, before and
    after: null where there is no latest one.
    """

    asset: str
    before: RestorableFacts
    after: RestorableFacts
    packs: Count | None
    reading: Bytes | None


class RetentionPlanned(Record, frozen=True, kw_only=True, tag="holdfast/retention-plan/1"):
    """`retention plan`: a decision for each snapshot of the assets that the policy is for, the oldest content first.

    `freed_bytes` in `freed_packs`: what a collection frees afterwards, as far as manifests tell; `shared_packs` hold
    what goes beside what stays; `locked_bytes` of them in `locked_packs` are locked at the store, the last until
    `locked_until`. `waiting`: snapshots that are to be dropped and are locked. `digest`: of the facts; a plan is only
    applied while they hold. `plan`: the file that `--out` wrote.
    """

    vault: str
    decisions: list[RetainedFacts]
    kept: Count
    thinned: Count
    dropped: Count
    freed_packs: Count
    freed_bytes: Bytes
    shared_packs: Count
    locked_packs: Count
    locked_bytes: Bytes
    locked_until: Time | None
    waiting: Count
    effects: list[EffectFacts]
    notes: list[str]
    digest: str
    plan: str | None


class RetentionApplied(Record, frozen=True, kw_only=True, tag="holdfast/retention-apply/1"):
    """`retention apply`. `before`: changes that an earlier run of the same plan had made. `waiting`: snapshots that are
    locked at the store → until when; the same plan drops them then. The bytes are those of the plan.
    """

    vault: str
    dropped: list[SnapshotRef]
    thinned: list[SnapshotRef]
    before: Count
    waiting: dict[str, Time]
    freed_packs: Count
    freed_bytes: Bytes
    locked_bytes: Bytes
    locked_until: Time | None


class SnapshotHeld(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-hold/1"):
    """`snapshot hold`. `until` is null for a hold without an end."""

    asset: str
    snapshot: SnapshotRef
    reason: str
    until: Time | None


class SnapshotUnheld(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-unhold/1"):
    """`snapshot unhold`: what the hold was."""

    asset: str
    snapshot: SnapshotRef
    reason: str
    until: Time | None
