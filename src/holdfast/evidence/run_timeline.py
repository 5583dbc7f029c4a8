"""From the entries of a run's journal to moments, rows of steps, and deviations. Pure.

An entry has the wall clock of whoever wrote it. Offsets of moments from a journal are differences of these, and say so;
what a drill saw itself has its monotonic clock, and stands in their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.gathered import RunOfJournal
from holdfast.evidence.record_outcome import ClockKind, Deviation, DeviationKind, Moment, MomentKind, StepRow
from holdfast.objectives import NOT_MEASURED
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.plans import Kind, Plan, Step

__all__ = ["clock_went_back", "deviations_of", "fault_time", "moments_of", "noticed_time", "result_hash", "step_rows"]

_PROVING: Final = frozenset({Kind.VERIFY, Kind.WAIT_HEALTHY, Kind.HTTP_CHECK})
_BOUNDS: Final = (
    MomentKind.FAULT,
    MomentKind.DETECTED,
    MomentKind.DECIDED,
    MomentKind.EXECUTED,
    MomentKind.VERIFIED,
)
_Maker = Callable[[MomentKind, int, str, str], Moment]
_PEOPLE: Final = (Deed.PAUSED, Deed.RESUMED, Deed.STOPPED, Deed.SKIPPED)


def fault_time(plan: Plan) -> int | None:
    """When the fault happened, as the plan was told (ns); None: nobody said."""
    return plan.intent.fault_at


def noticed_time(plan: Plan) -> int | None:
    """When it was noticed, as the plan was told (ns); None: nobody said."""
    return plan.intent.noticed_at


def moments_of(run: RunOfJournal | None, drill: DrillFacts | None) -> tuple[Moment, ...]:
    """All of them by their offsets, which count from the drill's start, or from the run's first known time."""
    found: list[Moment] = []
    if drill is not None:
        found += _of_drill(drill)
    if run is not None:
        begin = _begin(run, drill)
        taken = {moment.kind for moment in found if moment.kind in _BOUNDS}
        found += [one for one in _of_journal(run, begin) if one.kind not in taken]
    return tuple(sorted(found, key=lambda one: one.offset_seconds))


def _begin(run: RunOfJournal, drill: DrillFacts | None) -> int:
    """Ns since the epoch of the offset 0."""
    if drill is not None:
        return drill.started.at_ns - round(drill.started.offset_seconds * NANOSECONDS)
    times = [run.plan.facts_at, fault_time(run.plan), noticed_time(run.plan)]
    return min(time for time in times if time is not None)


def _of_drill(drill: DrillFacts) -> Iterable[Moment]:
    kinds = {moment.kind for moment in drill.moments}
    yield from drill.moments
    if MomentKind.STARTED not in kinds:
        yield _moment(MomentKind.STARTED, drill.started.at_ns, drill.started.offset_seconds, "The drill begins.")
    if MomentKind.FAULT not in kinds and drill.faults:
        first = min(drill.faults, key=lambda one: one.at.offset_seconds)
        yield _moment(MomentKind.FAULT, first.at.at_ns, first.at.offset_seconds, first.what, first.site)
    for fault in drill.faults:
        if fault.healed is not None:
            text = f"Taken back: {fault.what}"
            yield _moment(MomentKind.HEALED, fault.healed.at_ns, fault.healed.offset_seconds, text, fault.site)
    if MomentKind.DETECTED not in kinds:
        for seen in drill.detections:
            yield _moment(MomentKind.DETECTED, seen.at.at_ns, seen.at.offset_seconds, f"{seen.by}: {seen.saw}")
    if MomentKind.CLEANED not in kinds:
        yield _moment(MomentKind.CLEANED, drill.ended.at_ns, drill.ended.offset_seconds, "The drill is over.")


def _moment(kind: MomentKind, at: int, offset: float, text: str, site: str = "") -> Moment:
    return Moment(kind=kind, utc=to_rfc3339(at), offset_seconds=round(offset, 6), text=text, site=site)


def _of_journal(run: RunOfJournal, begin: int) -> Iterable[Moment]:
    def moment(kind: MomentKind, at: int, text: str, by: str = "") -> Moment:
        offset = round((at - begin) / NANOSECONDS, 6)
        utc = to_rfc3339(at)
        return Moment(kind=kind, utc=utc, offset_seconds=offset, text=text, by=by, clock=ClockKind.WALL)

    plan = run.plan
    fault, noticed = fault_time(plan), noticed_time(plan)
    if fault is not None:
        yield moment(MomentKind.FAULT, fault, "The fault, as the plan was told.", plan.intent.by)
    if noticed is not None:
        yield moment(MomentKind.DETECTED, noticed, "It was noticed, as the plan was told.", plan.intent.by)
    yield moment(MomentKind.PLANNED, plan.facts_at, "What the plan relies on was probed.", plan.intent.by)
    for entry in run.entries:
        if entry.number in run.state.ignored:
            continue
        yield from _of_entry(entry, plan, run, moment)


def _of_entry(entry: Entry, plan: Plan, run: RunOfJournal, moment: _Maker) -> Iterable[Moment]:
    match entry.deed:
        case Deed.APPROVED:
            yield moment(MomentKind.APPROVED, entry.at, f"Approved until {to_rfc3339(entry.until)}.", entry.by)
        case Deed.TAKEN:
            first = entry.number == _first(run.entries, Deed.TAKEN)
            kind = MomentKind.DECIDED if first else MomentKind.SAID
            text = "The run begins: its plan was reviewed, and passed." if first else "Another control plane goes on."
            yield moment(kind, entry.at, text, entry.by)
        case Deed.ENDED:
            yield moment(MomentKind.FINISHED, entry.at, f"The run ended: {entry.text}.", entry.by)
        case _ if entry.deed in _PEOPLE:
            why = f": {entry.text}" if entry.text else "."
            said = moment(MomentKind.SAID, entry.at, f"{entry.deed.value}{why}", entry.by)
            yield msgspec.structs.replace(said, step=entry.step)
        case Deed.PLANNED | Deed.ASKED:
            pass
        case _:
            step = _step(plan, entry.step)
            title = step.title if step is not None else entry.step
            told = f" ({entry.text})" if entry.text else ""
            yield msgspec.structs.replace(
                moment(MomentKind.STEP, entry.at, f"{title}: {entry.deed.value}{told}", entry.by),
                site=step.site if step is not None else "",
                step=entry.step,
                attempt=entry.attempt,
                result_sha256=result_hash(entry) if entry.deed is Deed.DONE else "",
            )
            if run.state.verdict == "PASSED":
                yield from _bounds(entry, run, moment)


def _bounds(entry: Entry, run: RunOfJournal, moment: _Maker) -> Iterable[Moment]:
    """EXECUTED: the last step that changed something; VERIFIED: the last one that proved something, or EXECUTED where
    nothing is put into service before it was proven. Neither has a time where a clock went back since the run began:
    differences across that are none.
    """
    if entry.deed is not Deed.DONE or clock_went_back(run):
        return
    last: dict[str, int] = {}
    for one in run.entries:
        if one.deed is Deed.DONE and one.number not in run.state.ignored:
            last[one.step] = one.number
    proving = [number for step, number in last.items() if _is_proving(run.plan, step)]
    acting = [number for step, number in last.items() if not _is_proving(run.plan, step)]
    if acting and entry.number == max(acting):
        yield moment(MomentKind.EXECUTED, entry.at, "The last step that changes something is in effect.", entry.by)
    if proving and entry.number == max([*proving, *acting]):
        before = entry.number not in proving
        how = "All was verified before it was put into service." if before else "The last check passed."
        yield moment(MomentKind.VERIFIED, entry.at, how, entry.by)


def clock_went_back(run: RunOfJournal) -> bool:
    """Whether, from its first being taken to its end, an entry is dated before the one that it follows."""
    first = _first(run.entries, Deed.TAKEN)
    counting = [one.at for one in run.entries if one.number >= first >= 0 and one.number not in run.state.ignored]
    return any(after < before for before, after in pairwise(counting))


def _is_proving(plan: Plan, name: str) -> bool:
    step = _step(plan, name)
    return step is not None and step.kind in _PROVING


def _step(plan: Plan, name: str) -> Step | None:
    return next((one for one in plan.steps if one.id == name), None)


def _first(entries: Iterable[Entry], deed: Deed) -> int:
    return next((one.number for one in entries if one.deed is deed), -1)


def result_hash(entry: Entry) -> str:
    """SHA-256 (hex) of the canonical JSON of what an end of a step told."""
    return hashlib.sha256(msgspec.json.encode(entry.facts, order="sorted")).hexdigest()


def step_rows(run: RunOfJournal) -> tuple[StepRow, ...]:
    """One for each step of the plan, in its order."""
    return tuple(_row(run, step) for step in run.plan.steps)


def _row(run: RunOfJournal, step: Step) -> StepRow:
    state = run.state.steps.get(step.id)
    said = [one for one in run.entries if one.step == step.id and one.number not in run.state.ignored]
    begun = next((one for one in reversed(said) if one.deed is Deed.BEGUN), None)
    ended = next((one for one in reversed(said) if one.deed in (Deed.DONE, Deed.FAILED, Deed.DROPPED)), None)
    if begun is None or (ended is not None and ended.number < begun.number):
        ended = None
    seconds = NOT_MEASURED if begun is None or ended is None else round((ended.at - begun.at) / NANOSECONDS, 6)
    done = next((one for one in reversed(said) if one.deed is Deed.DONE), None)
    known = step.estimate.known
    return StepRow(
        step=step.id,
        kind=step.kind.value,
        title=step.title,
        site=step.site,
        asset=step.asset,
        state="not begun" if state is None else state.phase.value,
        attempts=0 if state is None else state.attempts,
        begun_utc="" if begun is None else to_rfc3339(begun.at),
        ended_utc="" if ended is None else to_rfc3339(ended.at),
        seconds=seconds,
        result_sha256="" if done is None else result_hash(done),
        estimate_seconds=step.estimate.seconds if known else NOT_MEASURED,
        estimate_error_seconds=step.estimate.error,
        estimate_source=step.estimate.source.value,
    )


def deviations_of(run: RunOfJournal) -> list[Deviation]:
    """How the run differed from its plan: what was skipped, repeated, stopped, adopted, taken back, ignored."""
    found: list[Deviation] = []
    first = _first(run.entries, Deed.TAKEN)
    for entry in run.entries:
        kind = _KINDS.get(entry.deed)
        if entry.number in run.state.ignored:
            text = f"The entry {entry.number} ({entry.deed.value}) counts for nothing: its author did not have the run."
            found.append(_deviation(DeviationKind.IGNORED, text, entry))
        elif entry.deed is Deed.TAKEN and entry.number != first:
            found.append(_deviation(DeviationKind.ADOPTED, "Another control plane went on with the run.", entry))
        elif entry.deed is Deed.BEGUN and entry.attempt > 1:
            found.append(_deviation(DeviationKind.RETRIED, f"Attempt {entry.attempt} of {entry.step}.", entry))
        elif kind is not None:
            words = f"{entry.step} {entry.deed.value}" if entry.step else f"The run was {entry.deed.value}"
            found.append(_deviation(kind, f"{words}{f': {entry.text}' if entry.text else '.'}", entry))
        elif entry.deed is Deed.DONE and _is_human(run.plan, entry.step):
            found.append(_deviation(DeviationKind.MANUAL, f"{entry.step} was done by a person.", entry))
    return [*found, *_clocks(run.entries)]


_KINDS: Final = {
    Deed.FAILED: DeviationKind.FAILED,
    Deed.DROPPED: DeviationKind.OTHER,
    Deed.UNDONE: DeviationKind.UNDONE,
    Deed.SKIPPED: DeviationKind.SKIPPED,
    Deed.PAUSED: DeviationKind.PAUSED,
    Deed.STOPPED: DeviationKind.STOPPED,
}


def _is_human(plan: Plan, name: str) -> bool:
    step = _step(plan, name)
    return step is not None and step.kind is Kind.HUMAN


def _deviation(kind: DeviationKind, text: str, entry: Entry) -> Deviation:
    return Deviation(kind=kind, text=text, step=entry.step, by=entry.by, utc=to_rfc3339(entry.at))


def _clocks(entries: Sequence[Entry]) -> Iterable[Deviation]:
    for before, after in pairwise(entries):
        if after.at < before.at:
            back = (before.at - after.at) / NANOSECONDS
            text = (
                f"Entry {after.number} is dated {back:.3f} s before the entry that it follows: a clock went back, or "
                "two clocks disagree. Times across it are not to be relied on."
            )
            yield _deviation(DeviationKind.CLOCK, text, after)
