"""A retention plan: decisions, what they free, and what is left to recover to. Made without changing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from holdfast.errors import UsageError
from holdfast.ids import SnapshotId
from holdfast.objectives.retention import DROP, KEEP, THIN, Decision, SnapshotFact, decide
from holdfast.objectives.retention_rules import Policy
from holdfast.vault.handle import Handle
from holdfast.vault.locking.state import locked_until
from holdfast.vault.retaining.estimating import Freed, Reading, Until, estimate
from holdfast.vault.retaining.facts import Gathered, gather_facts

__all__ = ["AssetEffect", "Restorable", "RetentionPlan", "plan_retention", "encode_plan", "decode_plan"]
__all__ += ["lasting", "locked_snapshots"]

FORMAT = "holdfast/retention/1"
PLAN_BYTES_MAX = 1 << 30


class Restorable(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset can be recovered to. Times of content in ns; `gap`: the longest time between two snapshots that
    follow each other, the most that is lost when any moment in between is wanted.
    """

    snapshots: int
    oldest: int | None
    newest: int | None
    gap: int


class AssetEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one asset. `reading`: of its latest snapshot; None where that is not known."""

    asset: str
    before: Restorable
    after: Restorable
    reading: Reading | None


class RetentionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What goes, why, and what that does. `facts`: what it was made from, and `digest` the SHA-256 of their lasting
    part. `notes`: what could not be judged, and so stays. `made` in ns, by this machine's clock. `locked`: snapshots
    that were to be dropped and that the store keeps locked → until when (ns): they go when the plan is applied then.
    """

    format: str
    vault: str
    made: int
    policy: Policy
    facts: list[SnapshotFact]
    digest: str
    decisions: list[Decision]
    effects: list[AssetEffect]
    freed: Freed
    notes: list[str]
    locked: dict[str, Until] = {}

    @property
    def changes(self) -> list[Decision]:
        """The decisions that are not to keep everything."""
        return [one for one in self.decisions if one.action != KEEP]


def plan_retention(handle: Handle, policy: Policy) -> RetentionPlan:
    """What the policy would drop and thin. Changes nothing. Needs a key that reads.

    Raises CredentialError, and what the store raises.
    """
    now = handle.clock.now_ns()
    handle.refresh()
    gathered = gather_facts(handle, lambda asset: policy.rule_for(asset) is not None, now)
    decisions = decide(gathered.facts, policy, now)
    freed, readings = _estimate(handle, gathered, decisions)
    facts = sorted(gathered.facts, key=lambda fact: (fact.asset, fact.id))
    return RetentionPlan(
        format=FORMAT,
        vault=handle.keys.vault.hex(),
        made=now,
        policy=policy,
        facts=facts,
        digest=digest_of(facts),
        decisions=decisions,
        effects=_effects(facts, decisions, readings),
        freed=freed,
        notes=_notes(gathered),
        locked=locked_snapshots(handle, (one for one in decisions if one.action == DROP)),
    )


def locked_snapshots(handle: Handle, decisions: Iterable[Decision]) -> dict[str, int]:
    """Of these snapshots, those whose roots are locked now, and until when. Hiding one would free nothing."""
    names = handle.keys.names
    keys = {names.snapshot_key(one.asset, SnapshotId(one.snapshot)): one.snapshot for one in decisions}
    return {keys[key]: until for key, until in locked_until(handle, keys).items()}


def lasting(fact: SnapshotFact) -> SnapshotFact:
    """The fact without what changes by itself: leases, and how far the history of proofs was read."""
    return msgspec.structs.replace(fact, leased=False, proven=False)


def digest_of(facts: Iterable[SnapshotFact]) -> str:
    """64 hex digits."""
    ordered = sorted((lasting(fact) for fact in facts), key=lambda fact: (fact.asset, fact.id))
    return hashlib.sha256(msgspec.json.encode(ordered)).hexdigest()


def encode_plan(plan: RetentionPlan) -> bytes:
    """As JSON, for `decode_plan`."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def decode_plan(data: bytes, name: str = "the plan") -> RetentionPlan:
    """A plan that was written before. Raises UsageError when it is none, or was changed since."""
    if len(data) > PLAN_BYTES_MAX:
        raise UsageError(f"{name} is too large to be a plan")
    try:
        plan = msgspec.json.decode(data, type=RetentionPlan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is no retention plan: {error}", hint="`retention plan --out` writes one") from error
    if plan.format != FORMAT:
        raise UsageError(f"{name} is a plan of another version ({plan.format})", hint="plan it again")
    if digest_of(plan.facts) != plan.digest:
        raise UsageError(f"{name} was changed since it was made", hint="plan it again")
    return plan


def _estimate(handle: Handle, gathered: Gathered, decisions: Sequence[Decision]) -> tuple[Freed, dict[str, Reading]]:
    by_id = {one.snapshot: one for one in decisions}
    before: dict[str, list[bytes]] = {}
    after: dict[str, list[bytes]] = {}
    for root in gathered.roots.values():
        links = gathered.thinnings.links(root)
        before[root.id] = [link.id for link in links]
        decision = by_id.get(root.id)
        if decision is not None and decision.action == DROP:
            after[root.id] = []
        elif decision is not None and decision.action == THIN:
            after[root.id] = [link.id for link in links if link.component not in decision.components]
    latest = {fact.asset: fact.id for fact in gathered.facts if fact.latest}
    return estimate(handle, gathered.roots.values(), before, after, latest)


def _effects(
    facts: Sequence[SnapshotFact], decisions: Sequence[Decision], readings: Mapping[str, Reading]
) -> list[AssetEffect]:
    dropped = {one.snapshot for one in decisions if one.action == DROP}
    effects = []
    for asset in sorted({fact.asset for fact in facts}):
        own = [fact for fact in facts if fact.asset == asset and fact.verdict != "quarantined"]
        left = [fact for fact in own if fact.id not in dropped]
        effects.append(
            AssetEffect(asset=asset, before=_restorable(own), after=_restorable(left), reading=readings.get(asset))
        )
    return effects


def _restorable(facts: Sequence[SnapshotFact]) -> Restorable:
    times = sorted(fact.time for fact in facts)
    return Restorable(
        snapshots=len(times),
        oldest=times[0] if times else None,
        newest=times[-1] if times else None,
        gap=max((after - before for before, after in pairwise(times)), default=0),
    )


def _notes(gathered: Gathered) -> list[str]:
    notes = [f"left alone: {error.message}" for error in gathered.unread.values()]
    return notes + [f"all of {asset!r} stays: {error.message}" for asset, error in gathered.unjudged.items()]
