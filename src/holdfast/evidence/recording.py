"""From a run's journal, what was found out beside it, and what a drill knows, to the record of the run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.clock import from_rfc3339, to_rfc3339
from holdfast.errors import RefusedError
from holdfast.evidence.controls import CONTROLS
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.findings import closed_by, findings_of, open_findings
from holdfast.evidence.gathered import RunOfJournal, Setting
from holdfast.evidence.record import SCHEMA_VERSION, Evidence
from holdfast.evidence.record_outcome import (
    Arrival,
    ArrivalState,
    Check,
    CheckLevel,
    CheckResult,
    Deviation,
    DeviationKind,
    Integrity,
    Moment,
    SnapshotRow,
)
from holdfast.evidence.record_setting import (
    CleanUp,
    Disruption,
    Environment,
    Exclusion,
    Exercise,
    Fault,
    Identity,
    Person,
    Plan,
    RunKind,
    Scenario,
    Scope,
)
from holdfast.evidence.record_trust import JournalTrust, Trust
from holdfast.evidence.restored import restored_points
from holdfast.evidence.run_results import results_of
from holdfast.evidence.run_timeline import deviations_of, moments_of, step_rows
from holdfast.objectives import NOT_MEASURED
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Kind, plan_hash

__all__ = ["record_of"]

_PLANTED: Final = "{}: made to go wrong on purpose, to try the drill itself. Its verdict says nothing of the recovery."
_NO_DRILL_CLEAN_UP: Final = CleanUp(created=(), removed=(), left=())


def record_of(run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None = None) -> Evidence:
    """The record. `run` is None for a drill that ended before any run began.

    Raises RefusedError for a run that has not ended, or where there is neither.
    """
    if run is None and drill is None:
        raise RefusedError("there is neither a run nor a drill to write evidence of")
    if run is not None and not run.state.verdict:
        raise RefusedError(f"the run {run.run} has not ended: there is no evidence of it yet")
    timeline = moments_of(run, drill)
    results, costs = results_of(run, setting, drill, timeline)
    deviations: list[Deviation] = deviations_of(run) if run is not None else []
    if drill is not None:
        deviations += [Deviation(kind=DeviationKind.OTHER, text=text) for text in drill.deviations]
        deviations += (
            [Deviation(kind=DeviationKind.OTHER, text=_PLANTED.format(drill.planted))] if drill.planted else []
        )
    deviations += [
        Deviation(kind=DeviationKind.OTHER, text=one.sentence) for one in setting.reviewed if not one.refused
    ]
    ended = _ended(run, drill)
    record = Evidence(
        schema_version=SCHEMA_VERSION,
        identity=_identity(run, setting, drill, timeline, ended),
        scope=_scope(run, setting, drill),
        scenario=_scenario(run, drill),
        people=_people(run, drill),
        targets=setting.targets,
        timeline=timeline,
        snapshots=_snapshots(run, drill, timeline),
        bytes_moved=NOT_MEASURED,
        results=results,
        integrity=_integrity(run, drill),
        deviations=tuple(deviations),
        findings=drill.findings if drill is not None else (),
        clean_up=drill.clean_up if drill is not None else _clean_up(run),
        trust=_trust(run, setting),
        steps=step_rows(run) if run is not None else (),
        costs=costs,
    )
    owner = run.plan.intent.by if run is not None else ""
    record = msgspec.structs.replace(record, findings=(*record.findings, *findings_of(record, ended, owner)))
    return msgspec.structs.replace(record, closed=closed_by(record, open_findings(setting.earlier)))


def _ended(run: RunOfJournal | None, drill: DrillFacts | None) -> int:
    if drill is not None:
        return drill.ended.at_ns
    assert run is not None
    return next(entry.at for entry in reversed(run.entries) if entry.deed is Deed.ENDED)


def _identity(
    run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None, timeline: Sequence[Moment], ended: int
) -> Identity:
    isolated = run is not None and run.plan.intent.isolated
    if drill is not None:
        kind, title = RunKind.DRILL, f"Drill: {drill.name or drill.scenario}"
        environment, exercise = drill.environment, drill.exercise
    elif isolated:
        kind, title = RunKind.REHEARSAL, "Rehearsal of a recovery, in a place of its own"
        environment, exercise = Environment.ISOLATED, Exercise.COMPONENT_RESTORE
    else:
        kind, title = RunKind.RECOVERY, "Recovery"
        environment, exercise = Environment.PRODUCTION, Exercise.FULL_INTERRUPTION
    plan = None
    if run is not None:
        plan = Plan(plan_id=run.plan.intent.name, version=to_rfc3339(run.plan.facts_at), sha256=plan_hash(run.plan))
        title = f"{title} of {run.plan.intent.name}" if drill is None else title
    return Identity(
        record_id=setting.record_id,
        title=title,
        started_utc=timeline[0].utc if timeline else to_rfc3339(ended),
        software=setting.software,
        environment=environment,
        exercise=exercise,
        machine=setting.machine,
        plan=plan,
        controls=tuple(f"{one.framework} {one.control}" for one in CONTROLS),
        kind=kind,
        run=run.run if run is not None else drill.drill_id if drill is not None else "",
        drill=drill.drill_id if drill is not None else "",
        drill_name=drill.name if drill is not None else "",
        recovery=drill.recovery if drill is not None else "",
        ended_utc=to_rfc3339(ended),
    )


def _scope(run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None) -> Scope:
    names = ", ".join(one.name for one in setting.assets)
    point = {one.asset: one for one in restored_points(run)} if run is not None else {}
    assets = tuple(
        msgspec.structs.replace(
            asset,
            snapshot_id=point[asset.name].snapshot,
            step=NOT_MEASURED if point[asset.name].step is None else point[asset.name].step,
            content_utc=to_rfc3339(point[asset.name].content),
        )
        if asset.name in point
        else asset
        for asset in setting.assets
    )
    exclusions = [*(drill.exclusions if drill is not None else ())]
    if run is not None and not any(step.kind in (Kind.START, Kind.WAIT_HEALTHY) for step in run.plan.steps):
        exclusions.append(Exclusion(what="starting the service", reason="the plan ends with data that were verified"))
    classes = ", ".join(dict.fromkeys(one.asset_class for one in setting.assets))
    return Scope(
        asset=names,
        description=f"class {classes}" if classes else "",
        sites=setting.sites,
        third_parties=setting.third_parties,
        exclusions=tuple(exclusions),
        assets=assets,
    )


def _scenario(run: RunOfJournal | None, drill: DrillFacts | None) -> Scenario:
    if drill is not None:
        return Scenario(
            disruption=drill.disruption,
            summary=drill.summary,
            fault_site=drill.fault_site,
            injected=tuple(one.what for one in drill.faults),
            real=drill.real,
            simulated=drill.simulated,
            fault_step=drill.fault_step,
            name=drill.scenario,
            planted=drill.planted,
            faults=tuple(
                Fault(
                    what=one.what,
                    utc=to_rfc3339(one.at.at_ns),
                    offset_seconds=one.at.offset_seconds,
                    real=one.real,
                    site=one.site,
                    bit=one.bit,
                    evidence=one.evidence,
                    healed_utc="" if one.healed is None else to_rfc3339(one.healed.at_ns),
                )
                for one in drill.faults
            ),
        )
    assert run is not None
    intent = run.plan.intent
    fenced = [step.site for step in run.plan.steps if step.kind is Kind.FENCE]
    if intent.isolated:
        summary = "Nothing failed: the recovery was rehearsed in a place of its own, beside what is in use."
        disruption, name = Disruption.NONE, "rehearsal"
    elif fenced:
        summary = f"The site {fenced[0]} was taken for lost, and was fenced."
        disruption, name = Disruption.SITE, "site-lost"
    else:
        summary = "Somebody asked for the recovery; what had failed was not said."
        disruption, name = Disruption.UNSPECIFIED, "unspecified"
    reason = f" Reason given: {intent.reason}" if intent.reason else ""
    return Scenario(
        disruption=disruption,
        summary=f"{summary}{reason}",
        fault_site=fenced[0] if fenced else "",
        injected=(),
        real=("the stores, the snapshots, the restore and the check of what was restored",),
        simulated=(),
        name=name,
    )


def _people(run: RunOfJournal | None, drill: DrillFacts | None) -> tuple[Person, ...]:
    found: list[Person] = []
    if run is not None:
        intent = run.plan.intent
        found.append(Person(role="asked for it", name=intent.by, utc=to_rfc3339(run.plan.facts_at)))
        for one in run.state.approvals:
            detail = "not the name of who asked" if one.by != intent.by else "approver is the initiator: does not count"
            found.append(Person(role="approved", name=one.by, utc=to_rfc3339(one.at), detail=detail))
        found += [
            Person(role=f"said: {one.deed.value}", name=one.by, utc=to_rfc3339(one.at), detail=one.text)
            for one in run.entries
            if one.deed in (Deed.PAUSED, Deed.RESUMED, Deed.STOPPED, Deed.SKIPPED)
        ]
    if drill is not None:
        found += drill.people
        found += [msgspec.structs.replace(one, absent=True) for one in drill.absent]
    return tuple(found)


def _snapshots(
    run: RunOfJournal | None, drill: DrillFacts | None, timeline: Sequence[Moment]
) -> tuple[SnapshotRow, ...]:
    """The recovery points, where they were read from, and what a drill saw at other sites."""
    if run is None:
        return ()
    begin = from_rfc3339(timeline[0].utc) / 1e9 - timeline[0].offset_seconds if timeline else 0.0
    rows = []
    for chosen in restored_points(run):
        arrivals = {chosen.site: Arrival(site=chosen.site, state=ArrivalState.COMPLETE)}
        for one in drill.held if drill is not None else ():
            if one.snapshot_id == chosen.snapshot:
                arrivals[one.site] = Arrival(site=one.site, state=one.state)
        rows.append(
            SnapshotRow(
                snapshot_id=chosen.snapshot,
                step=NOT_MEASURED if chosen.step is None else chosen.step,
                content_ns=chosen.content,
                content_offset_seconds=round(chosen.content / 1e9 - begin, 6),
                source_bytes=_restored_bytes(run, chosen.asset),
                arrivals=tuple(arrivals.values()),
            )
        )
    return tuple(rows)


def _restored_bytes(run: RunOfJournal, asset: str) -> int:
    for step in run.plan.steps:
        state = run.state.steps.get(step.id)
        if step.kind is Kind.RESTORE and step.asset == asset and state is not None:
            size = state.facts.get("bytes", 0)
            return size if isinstance(size, int) and size > 0 else 0
    return 0


def _integrity(run: RunOfJournal | None, drill: DrillFacts | None) -> Integrity:
    checks: list[Check] = list(drill.checks) if drill is not None else []
    compared: list[float] = []
    if run is not None:
        for step in run.plan.steps:
            if step.kind is not Kind.VERIFY:
                continue
            state = run.state.steps.get(step.id)
            done = step.id in run.state.done
            files, size = (state.facts.get("files"), state.facts.get("bytes")) if state is not None else (None, None)
            detail = f"every file read back at the target and compared with what was saved: {files} files, {size} bytes"
            if not done:
                detail = state.text if state is not None and state.text else "it was not reached"
            failed = state is not None and state.phase.value == "failed"
            result = CheckResult.PASSED if done else CheckResult.FAILED if failed else CheckResult.NOT_MEASURED
            checks.append(Check(name=step.title, level=CheckLevel.SEMANTIC, result=result, detail=detail))
            compared.append(100.0 if done else 0.0)
    sample = min(compared) if compared and all(compared) else NOT_MEASURED
    return Integrity(
        checks=tuple(checks),
        sample_percent=sample,
        source_count=drill.source_count if drill is not None else NOT_MEASURED,
        compared_count=drill.compared_count if drill is not None else NOT_MEASURED,
    )


def _clean_up(run: RunOfJournal | None) -> CleanUp:
    """Of a run without a drill: what it restored stays, and what was taken back is gone."""
    if run is None:
        return _NO_DRILL_CLEAN_UP
    titles = {step.id: step.title for step in run.plan.steps}
    undone = [titles[name] for name, one in run.state.steps.items() if one.phase.value == "undone" and name in titles]
    ended = next((one.facts for one in reversed(run.entries) if one.deed is Deed.ENDED), {})
    left = [str(ended[name]) for name in ("not_taken_back", "problems") if ended.get(name)]
    created = [titles[name] for name in run.state.done if name in titles]
    return CleanUp(created=(*created, *undone), removed=tuple(undone), left=tuple(left))


def _trust(run: RunOfJournal | None, setting: Setting) -> Trust:
    journal = None
    if run is not None:
        journal = JournalTrust(run=run.run, stores=run.stores, entries=len(run.entries), head=run.head)
    return Trust(
        files=(),
        event_chain_head="NOT_MEASURED" if journal is None else journal.head,
        log_proof=setting.log_words,
        retention_class=setting.retention_class,
        journal=journal,
        log=setting.log,
    )
