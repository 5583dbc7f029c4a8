"""Situations for the planner and the reviewer: one base, and what is different in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from holdfast.clock import NANOSECONDS
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import Estimate, Rate, Source
from holdfast.recovery.facts import Answer, Asset, Compute, Facts, Proof, Replica, Site, Snapshot
from holdfast.recovery.intents import AsOf, Intent, Pinned, Strategy
from holdfast.recovery.plans import Plan, plan_hash
from holdfast.recovery.reviewing.approvals import Approval

NOW = 1_795_000_000 * NANOSECONDS
MINUTE = 60 * NANOSECONDS
HOUR = 60 * MINUTE
DAY = 24 * HOUR
GB = 10**9


def measured(seconds: float, error: float = 0.0, why: str = "the last drill") -> Estimate:
    return Estimate(seconds=seconds, error=error, source=Source.MEASURED, why=why)


def snapshot_id(number: int) -> SnapshotId:
    return SnapshotId(f"01kq{number:022d}")


def snapshot(asset: str, number: int, age: int, **more: object) -> Snapshot:
    """`age` ns before NOW; copies at use1 and euw4, both proven half an hour after its content."""
    proof = Proof(at=NOW - age + 30 * MINUTE if age > 30 * MINUTE else NOW - MINUTE, level="decoded")
    rate = Rate(bytes_per_second=2e9, error=0.1, source=Source.MEASURED, why="restores of this week")
    far = Rate(bytes_per_second=2e8, error=0.3, source=Source.MEASURED, why="restores of this week")
    copies = (
        Replica(
            site="use1", store="use1/warm", whole=True, fetch=600 * GB, proof=proof, rates={"use1": rate, "euw4": far}
        ),
        Replica(
            site="euw4", store="euw4/warm", whole=True, fetch=600 * GB, proof=proof, rates={"euw4": rate, "use1": far}
        ),
    )
    made = Snapshot(
        id=snapshot_id(number),
        asset=asset,
        content=NOW - age,
        step=number * 500,
        size=900 * GB,
        replicas=copies,
    )
    return replace(made, **more)


def compute(ready: int = 0, free: int = 64, shape: str = "H100x8", age: int = MINUTE) -> tuple[Compute, ...]:
    getting = measured(420, 180, "queue of the last month")
    return (Compute(shape=shape, ready=ready, free=free, probed=NOW - age, getting=getting),)


LLAMA = Asset(
    name="llama",
    home="use1",
    epoch=4,
    rpo=2 * 3600,
    rto=4 * 3600,
    interval=1800,
    needs=32,
    least=16,
    shapes=("H100x8", "A100x8"),
    verifying=Rate(bytes_per_second=3e9, error=0.1, source=Source.MEASURED, why="verifications of this week"),
    starting=measured(240, 60),
)
CORPUS = Asset(name="corpus", home="use1", epoch=1, rpo=86400, rto=86400, interval=86400, verifying=LLAMA.verifying)

BASE = Facts(
    at=NOW,
    assets=(LLAMA, CORPUS),
    sites=(
        Site(name="use1", jurisdiction="US", answer=Answer.NO, fencing=measured(3, 1)),
        Site(name="euw4", jurisdiction="EU", answer=Answer.YES, compute=compute(), fencing=measured(3, 1)),
        Site(name="apne1", jurisdiction="JP", answer=Answer.YES, compute=compute(), fencing=measured(3, 1)),
    ),
    snapshots=(
        snapshot("llama", 12, 20 * MINUTE),
        snapshot("llama", 11, 50 * MINUTE),
        snapshot("llama", 10, 80 * MINUTE),
        snapshot("corpus", 3, 5 * HOUR),
        snapshot("corpus", 2, 29 * HOUR),
    ),
    deciding=measured(300, 120, "approvals of the last three drills"),
    detecting=measured(60, 10, "observers ask each 30 s"),
    acting=measured(2, 1),
)
INTENT = Intent(
    name="pretrain-to-eu",
    assets=("llama",),
    to=("euw4", "apne1"),
    strategy=Strategy.BACKUP_AND_RESTORE,
    reason="use1 does not answer",
    by="ada",
)


class Situation(NamedTuple):
    """`later`: the facts of the review, if they are not those of the plan."""

    intent: Intent
    facts: Facts
    later: Facts | None = None
    approvals: Callable[[Plan], list[Approval]] = lambda plan: [approved(plan)]


def approved(plan: Plan, by: str = "bela", until: int = NOW + HOUR, at: int = NOW) -> Approval:
    return Approval(plan=plan_hash(plan), by=by, at=at, until=until)


def with_site(facts: Facts, name: str, **changes: object) -> Facts:
    return replace(facts, sites=tuple(replace(one, **changes) if one.name == name else one for one in facts.sites))


def with_asset(facts: Facts, name: str, **changes: object) -> Facts:
    return replace(facts, assets=tuple(replace(one, **changes) if one.name == name else one for one in facts.assets))


def with_snapshot(facts: Facts, number: int, asset: str = "llama", **changes: object) -> Facts:
    changed = [
        replace(one, **changes) if one.id == snapshot_id(number) and one.asset == asset else one
        for one in facts.snapshots
    ]
    return replace(facts, snapshots=tuple(changed))


def with_copies(facts: Facts, asset: str = "llama", only: str = "", **changes: object) -> Facts:
    """Each copy of the asset's snapshots changed; with `only`, those at that site."""

    def changed(one: Snapshot) -> Snapshot:
        copies = [replace(copy, **changes) if only in ("", copy.site) else copy for copy in one.replicas]
        return replace(one, replicas=tuple(copies)) if one.asset == asset else one

    return replace(facts, snapshots=tuple(changed(one) for one in facts.snapshots))


def _alive(facts: Facts = BASE) -> Facts:
    return with_site(facts, "use1", answer=Answer.YES, compute=compute(ready=32))


def situations() -> Iterator[tuple[str, Situation]]:
    yield "site lost, copy at the recovery site", Situation(INTENT, BASE)
    yield "nobody approved", Situation(INTENT, BASE, approvals=lambda plan: [])
    yield "the initiator approves", Situation(INTENT, BASE, approvals=lambda plan: [approved(plan, by="ada")])
    yield (
        "the approval has expired",
        Situation(INTENT, BASE, replace(BASE, at=NOW + 20 * MINUTE), lambda plan: [approved(plan, until=NOW + MINUTE)]),
    )
    other = replace(INTENT, reason="another")
    yield (
        "the approval is of another plan",
        Situation(INTENT, BASE, approvals=lambda plan: [approved(replace(plan, intent=other))]),
    )
    two = replace(INTENT, approvers=2)
    yield "two have to approve and one did", Situation(two, BASE)
    yield "two approved", Situation(two, BASE, approvals=lambda plan: [approved(plan), approved(plan, by="chen")])
    yield "an approval without a name", Situation(INTENT, BASE, approvals=lambda plan: [approved(plan, by="")])
    yield (
        "an approval from before the facts",
        Situation(INTENT, BASE, approvals=lambda plan: [approved(plan, at=NOW - DAY)]),
    )
    yield "facts too old by the time of the review", Situation(INTENT, BASE, replace(BASE, at=NOW + 2 * HOUR))
    yield "the clock went back", Situation(INTENT, BASE, replace(BASE, at=NOW - HOUR))

    stale = replace(BASE, snapshots=(snapshot("llama", 4, 5 * HOUR),))
    yield "the replica is stale", Situation(INTENT, stale)
    yield "an older point is asked for", Situation(replace(INTENT, point=AsOf(NOW - 4 * HOUR)), stale)
    yield "behind a corruption", Situation(replace(INTENT, point=AsOf(NOW - 40 * MINUTE)), BASE)
    yield "pinned", Situation(replace(INTENT, point=Pinned(snapshot_id(10))), BASE)
    yield "pinned to what does not exist", Situation(replace(INTENT, point=Pinned(snapshot_id(99))), BASE)
    yield "the newest is quarantined", Situation(INTENT, with_snapshot(BASE, 12, verdict="quarantined"))
    yield "the newest is not whole anywhere", Situation(INTENT, _broken(12))
    yield "nothing was ever read back", Situation(INTENT, with_copies(BASE, proof=None))
    yield "the newest was never read back", Situation(INTENT, _unproven(12))
    old = Proof(at=NOW - 31 * DAY, level="decoded")
    yield "all proofs are too old", Situation(INTENT, with_copies(BASE, proof=old))
    yield "the proof runs out before the review", Situation(INTENT, *_expiring())
    yield "quarantined between plan and review", Situation(INTENT, BASE, with_snapshot(BASE, 12, verdict="quarantined"))
    yield "the copy is gone at the review", Situation(INTENT, BASE, with_copies(BASE, only="euw4", whole=False))
    yield "no snapshot at all", Situation(INTENT, replace(BASE, snapshots=()))

    yield "no machines anywhere", Situation(INTENT, _machines(BASE, 0))
    yield "machines only at the second site", Situation(INTENT, with_site(BASE, "euw4", compute=compute(free=8)))
    yield "machines are gone at the review", Situation(INTENT, BASE, _machines(BASE, 8))
    aged = with_site(BASE, "euw4", compute=compute(age=20 * MINUTE))
    yield "capacity was probed too long ago", Situation(replace(INTENT, to=("euw4",)), aged)
    yield "the second shape will do", Situation(INTENT, with_site(BASE, "euw4", compute=compute(shape="A100x8")))
    burst = replace(INTENT, strategy=Strategy.CLOUD_BURST)
    yield "burst to fewer machines", Situation(burst, _machines(BASE, 20))
    yield (
        "burst: all machines elsewhere before fewer here",
        Situation(burst, with_site(BASE, "euw4", compute=compute(free=20))),
    )

    yield (
        "the first site is in the wrong jurisdiction",
        Situation(INTENT, with_asset(BASE, "llama", jurisdictions=("US", "JP"))),
    )
    yield "no site is allowed", Situation(INTENT, with_asset(BASE, "llama", jurisdictions=("US",)))
    yield (
        "the recovery site is failed",
        Situation(replace(INTENT, to=("euw4",)), with_site(BASE, "euw4", state="failed")),
    )
    yield "the recovery site does not answer", Situation(INTENT, with_site(BASE, "euw4", answer=Answer.NO))
    yield "the recovery site fails before the review", Situation(INTENT, BASE, with_site(BASE, "euw4", state="failed"))
    yield "recovered by somebody else meanwhile", Situation(INTENT, BASE, with_asset(BASE, "llama", epoch=5))

    pilot = replace(INTENT, strategy=Strategy.PILOT_LIGHT)
    yield "pilot light", Situation(pilot, BASE)
    yield "pilot light without a copy there", Situation(replace(pilot, to=("apne1",)), BASE)
    warm = replace(INTENT, strategy=Strategy.WARM_STANDBY)
    yield (
        "warm standby starts on what stands there",
        Situation(warm, with_site(BASE, "euw4", compute=compute(ready=16))),
    )
    yield "warm standby with nothing running", Situation(warm, BASE)
    hot = replace(INTENT, strategy=Strategy.HOT_STANDBY)
    standing = with_site(BASE, "euw4", compute=compute(ready=32), restored={"llama": snapshot_id(12)})
    yield "hot standby", Situation(hot, with_asset(standing, "llama", traffic=True))
    yield (
        "hot standby one snapshot behind",
        Situation(hot, with_site(standing, "euw4", restored={"llama": snapshot_id(11)})),
    )
    yield "hot standby without a restored state", Situation(hot, with_site(BASE, "euw4", compute=compute(ready=32)))

    yield "graceful move", Situation(replace(INTENT, graceful=True, reason="maintenance"), _alive())
    yield "graceful, and the home does not answer", Situation(replace(INTENT, graceful=True), BASE)
    yield "back to where it was", Situation(replace(INTENT, to=("use1",)), _alive())
    yield "in isolation", Situation(replace(INTENT, isolated=True, approvers=0), _alive())
    group = replace(INTENT, assets=("llama", "corpus"))
    agreeing = replace(BASE, snapshots=(*BASE.snapshots, snapshot("llama", 1, 5 * HOUR + 10 * MINUTE)))
    yield "a group agrees in time", Situation(group, agreeing)
    yield "the moments of a group are too far apart", Situation(group, BASE)
    yield "a group of which one has nothing", Situation(group, replace(BASE, snapshots=BASE.snapshots[:3]))
    yield "data without machines", Situation(replace(INTENT, assets=("corpus",)), BASE)
    yield "a rate that nobody measured", Situation(replace(INTENT, to=("apne1",)), BASE)
    yield "an archive takes hours to open", Situation(INTENT, with_copies(BASE, only="euw4", wait=5 * 3600.0))
    yield "an asset that nobody knows", Situation(replace(INTENT, assets=("lama",)), BASE)
    yield "a site that nobody knows", Situation(replace(INTENT, to=("mars",)), BASE)


def _broken(number: int) -> Facts:
    one = next(one for one in BASE.snapshots if one.id == snapshot_id(number))
    return with_snapshot(BASE, number, replicas=tuple(replace(copy, whole=False) for copy in one.replicas))


def _unproven(number: int) -> Facts:
    one = next(one for one in BASE.snapshots if one.id == snapshot_id(number))
    return with_snapshot(BASE, number, replicas=tuple(replace(copy, proof=None) for copy in one.replicas))


def _expiring() -> tuple[Facts, Facts]:
    facts = with_copies(BASE, proof=Proof(at=NOW - 30 * DAY + 10 * MINUTE, level="decoded"))
    return facts, replace(facts, at=NOW + 15 * MINUTE)


def _machines(facts: Facts, free: int) -> Facts:
    for name in ("euw4", "apne1"):
        facts = with_site(facts, name, compute=compute(free=free))
    return facts


SITUATIONS = dict(situations())
