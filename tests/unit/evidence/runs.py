"""A run of a recovery for tests: a plan, the entries of its journal, and what was found out beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from holdfast.evidence.drill_facts import Detection, DrillFacts, InjectedFault, Instant
from holdfast.evidence.gathered import RunOfJournal, Setting
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, Outcome, Phase
from holdfast.evidence.record_setting import (
    AssetTarget,
    CleanUp,
    Disruption,
    Environment,
    Exercise,
    Machine,
    Policy,
    PolicyValue,
    ScopedAsset,
    Site,
    Targets,
)
from holdfast.objectives import AssetClass, Objective, objective_of
from holdfast.recovery.estimates import Estimate, Source
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.journal.entries import FIRST, Deed, Entry
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.plans import Chosen, Kind, Machines, Plan, Rejected, Step, plan_hash

START = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
RUN = "0123456789abcdef0123"
DRILL = "fedcba98765432100123"
SNAPSHOT = "01k5e7m9y0z2a4b6c8d1e3f5g7"
PLANE = "plane:0011223344556677"


def estimate(seconds: float, error: float = 0.0) -> Estimate:
    return Estimate(seconds=seconds, error=error, source=Source.MEASURED)


def example_plan(**changes: object) -> Plan:
    def step(name: str, kind: Kind, after: tuple[str, ...], seconds: float) -> Step:
        return Step(
            id=name,
            kind=kind,
            title=f"{kind.value} the run",
            site="b",
            asset="run",
            after=after,
            estimate=estimate(seconds, 0.5),
            no_undo="nothing is changed",
        )

    intent = Intent(name="run-to-b", assets=("run",), to=("b",), strategy=Strategy.BACKUP_AND_RESTORE, by="keeper")
    fields: dict[str, object] = {
        "intent": intent,
        "site": "b",
        "facts_at": START + 2 * SECOND,
        "fresh_until": START + 3600 * SECOND,
        "chosen": (
            Chosen(
                asset="run",
                snapshot=SNAPSHOT,
                step=80,
                content=START - 60 * SECOND,
                loss=62.0,
                site="b",
                store="b/warm",
                rejected=(Rejected("01k5e7mc00z2a4b6c8d1e3f5g7", "a pack of it does not read back"),),
            ),
        ),
        "steps": (
            step("fence-run", Kind.FENCE, (), 0.5),
            step("restore-run", Kind.RESTORE, ("fence-run",), 3.0),
            step("verify-run", Kind.VERIFY, ("restore-run",), 1.0),
            step("promote-run", Kind.PROMOTE, ("verify-run",), 0.5),
        ),
        "machines": (Machines(asset="run", shape="8xH100", number=4, ready=4, wanted=4),),
        "detecting": estimate(1.0),
        "deciding": estimate(2.0),
    }
    return Plan(**(fields | changes))  # type: ignore[arg-type]


Said = tuple[float, Deed, dict[str, object]]


def entries_of(plan: Plan, said: Sequence[Said]) -> tuple[Entry, ...]:
    """Entries with a chain, from (seconds after START, deed, the rest); the first one holds the plan."""
    text = msgspec.json.encode(plan, order="sorted").decode()
    whole: list[Said] = [
        (2.0, Deed.PLANNED, {"plan": text, "by": "keeper", "facts": {"journal": "b/warm c/warm"}}),
        *said,
    ]
    before, found = FIRST, []
    for number, (seconds, deed, more) in enumerate(whole):
        fields = {"by": PLANE, **more}
        at = START + round(seconds * SECOND)
        found.append(Entry(run=RUN, number=number, before=before, deed=deed, at=at, **fields))  # type: ignore[arg-type]
        before = hashlib.sha256(f"stored {number}".encode()).hexdigest()
    return tuple(found)


def usual_course() -> list[Said]:
    """Approved by ann, begun after 5 s, all done by 10 s."""
    done: list[Said] = [
        (3.0, Deed.APPROVED, {"by": "ann", "text": plan_hash(example_plan()), "until": START + 600 * SECOND}),
        (5.0, Deed.TAKEN, {"text": "started"}),
    ]
    at = 5.0
    for step, seconds, facts in (
        ("fence-run", 0.5, {"told": "b, c"}),
        ("restore-run", 3.0, {"bytes": 1 << 20, "seconds": 2.9}),
        ("verify-run", 1.0, {"files": 3, "bytes": 1 << 20}),
        ("promote-run", 0.5, {"home": "b"}),
    ):
        done += [
            (at, Deed.BEGUN, {"step": step, "attempt": 1}),
            (at + seconds, Deed.DONE, {"step": step, "attempt": 1, "facts": facts}),
        ]
        at += seconds
    return [*done, (at + 0.1, Deed.ENDED, {"text": "PASSED"})]


def example_run(said: Sequence[Said] | None = None, plan: Plan | None = None) -> RunOfJournal:
    plan = plan or example_plan()
    entries = entries_of(plan, usual_course() if said is None else said)
    head = hashlib.sha256(f"stored {len(entries) - 1}".encode()).hexdigest()
    state = run_state(entries)
    return RunOfJournal(run=RUN, stores=("b/warm", "c/warm"), entries=entries, head=head, plan=plan, state=state)


def example_setting(**changes: object) -> Setting:
    training = objective_of(AssetClass.TRAINING)
    objective = Objective(
        asset_class=AssetClass.TRAINING, rpo_seconds=7200.0, rto_seconds=60.0, copies=2, placement=training.placement
    )
    values = (PolicyValue(asset="run", name="rpo", value="2 h", source="class training"),)
    fields: dict[str, object] = {
        "record_id": "01k5e7mzq4w8x2y6z0a3b7c1d5",
        "software": "holdfast 0.1.0",
        "machine": Machine(system="Linux 6.1 x86_64", processors=2, python="CPython 3.11.7"),
        "sites": tuple(Site(name=name, role="holds copies", place=f"onprem, {name}") for name in "abc"),
        "targets": Targets(
            objective=objective,
            assets=(AssetTarget(asset="run", rpo_seconds=7200.0, rto_seconds=60.0, copies=2),),
            policy=Policy(sha256="ab" * 32, values=values),
        ),
        "assets": (ScopedAsset(name="run", asset_class="training"),),
        "copies": 2,
    }
    return Setting(**(fields | changes))  # type: ignore[arg-type]


def instant(seconds: float) -> Instant:
    return Instant(at_ns=START + round(seconds * SECOND), offset_seconds=seconds)


def example_drill(**changes: object) -> DrillFacts:
    """The site a is lost at 1 s, and noticed at 1.5 s."""
    fields: dict[str, object] = {
        "drill_id": DRILL,
        "name": "monthly",
        "scenario": "site-lost",
        "disruption": Disruption.SITE,
        "summary": "The site a is lost.",
        "environment": Environment.ISOLATED,
        "exercise": Exercise.FUNCTIONAL_FAILOVER,
        "outcome": Outcome.PASSED,
        "started": instant(0.0),
        "ended": instant(12.0),
        "fault_site": "a",
        "fault_step": 87,
        "faults": (InjectedFault(what="the folder of a is gone", at=instant(1.0), real=True, site="a", bit=True),),
        "detections": (Detection(at=instant(1.5), by="a probe of the store", saw="no answer for 0.5 s"),),
        "phases": (
            Phase(name="failover", outcome=Outcome.PASSED, seconds=9.0, run=RUN),
            Phase(name="reverse", outcome=Outcome.PASSED, seconds=3.0),
        ),
        "checks": (
            Check(
                name="content as at the source",
                level=CheckLevel.SEMANTIC,
                result=CheckResult.PASSED,
                detail="SHA-256 of every file",
                expected="cd" * 32,
                actual="cd" * 32,
            ),
        ),
        "source_count": 3,
        "compared_count": 3,
        "clean_up": CleanUp(created=("a folder",), removed=("a folder",), left=()),
    }
    return DrillFacts(**(fields | changes))  # type: ignore[arg-type]
