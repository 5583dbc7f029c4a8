"""Events, found where they were written down: journals, incidents and evidence at the stores, drills of this machine.

There is no outbox that could be lost or forgotten: what happened follows from what lies there, so it does not matter
who ran a recovery, on which machine, or who was killed in between. Nothing of a run waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from holdfast.clock import NANOSECONDS, Clock, from_rfc3339
from holdfast.control.evidencing.keeping import kept_of, newest_kept
from holdfast.control.hooks.events import Event
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed as Said
from holdfast.control.incidents.model import Entry as SaidEntry
from holdfast.control.incidents.model import Incident, encode_entry
from holdfast.control.incidents.opening import open_for_incidents
from holdfast.control.recovering.journals import find_run, runs_written
from holdfast.control.sites.declared import DeclaredSites
from holdfast.drills.lever import drills_home
from holdfast.drills.outcomes import DrillOutcome, read_outcome
from holdfast.errors import HoldfastError
from holdfast.evidence.encoding import decode_record
from holdfast.evidence.record import Evidence
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState, run_state
from holdfast.recovery.running.executor import plan_of
from holdfast.recovery.running.progress import progress_of

__all__ = ["Finder"]

_STEP_DEEDS: Final = (Deed.BEGUN, Deed.DONE, Deed.FAILED, Deed.DROPPED, Deed.UNDOING, Deed.UNDONE, Deed.SKIPPED)
_ONCE: Final = (Said.OPENED, Said.ACKNOWLEDGED, Said.RESOLVED)  # whoever says it first has said it
_EVIDENCE_MAX: Final = 10_000
_PAUSE_S: Final = 5.0
_PAUSE_MAX_S: Final = 300.0
_CLOCKS_S: Final = 3600.0  # clocks of stores and machines may differ by so much
_SETTLED_S: Final = 10.0  # times of stores may be whole seconds: what was just written to is read once more


class Finder:
    """Looks again and again; what it has seen at one look and did not change is not read at the next.

    Not for two threads at once. Raises what opening the vault raises.
    """

    def __init__(self, sites: DeclaredSites, before: Finder | None = None) -> None:
        """`before`: the one that this one takes over from."""
        self._sites = sites
        self._keys = open_for_incidents(sites).handle.keys
        self._log = IncidentLog(sites, self._keys, sites.clock)
        self._journals: dict[str, _Read] = {}
        self._unreadable: _Unreadable = _Unreadable(sites.clock) if before is None else before._unreadable
        self._evidence: set[str] = set()
        self._reports: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        """What could not be looked at → why."""

    def look(self, since_ns: int) -> list[Event]:
        """What happened after `since_ns`: of one run, incident or drill in its order. What was found at an earlier look
        may be found once more. What cannot be read is said in `problems`, and looked for again.
        """
        self.problems.clear()
        found = [*self._of_runs(since_ns), *self._of_incidents(since_ns)]
        found += [*self._of_drills(since_ns), *self._of_evidence(since_ns)]
        return [one for one in found if one.at_ns > since_ns]

    def forget(self) -> None:
        """Find everything anew at the next look."""
        for one in (self._journals, self._evidence, self._reports):
            one.clear()

    def _of_runs(self, since_ns: int) -> Iterable[Event]:
        early = since_ns - int(_CLOCKS_S * NANOSECONDS)

        def told(text: str) -> None:
            self.problems["runs"] = text

        for run, written in sorted(runs_written(self._sites, told).items(), key=lambda one: one[1]):
            known = self._journals.get(run)
            if written < early or (known is not None and known.is_settled(written, self._sites.clock.monotonic())):
                continue
            if (why := self._unreadable.still(f"run {run}", written)) is not None:
                self.problems[f"run {run}"] = why
                continue
            try:
                if known is None:
                    journal = find_run(self._sites, self._keys, run, "", self._sites.clock)
                    known = self._journals[run] = _Read(journal)
                else:
                    known.journal.read()
                found = run_events(run, known.journal.entries, known.told, since_ns)
            except (HoldfastError, LookupError, ValueError) as error:
                self.problems[f"run {run}"] = str(error)
                if not (isinstance(error, HoldfastError) and error.retry):
                    self._unreadable.add(f"run {run}", written, str(error))
                self._journals.pop(run, None)
                continue
            self._unreadable.discard(f"run {run}")
            known.seen(written, self._sites.clock.monotonic())
            known.told = len(known.journal.entries)
            yield from found

    def _of_incidents(self, since_ns: int) -> Iterable[Event]:
        try:
            self._log.refresh()
        except HoldfastError as error:
            self.problems["incidents"] = error.message
            return
        for incident in reversed(self._log.incidents()):
            if incident.entries[-1].at > since_ns:
                yield from incident_events(incident)

    def _of_drills(self, since_ns: int) -> Iterable[Event]:
        try:
            reports = list(drills_home(self._sites.environment).glob("*/report.json"))
        except (HoldfastError, OSError):
            return
        for path in reports:
            try:
                changed = path.stat().st_mtime_ns
                if changed < since_ns or self._reports.get(path.parent.name) == changed:
                    continue
                outcome = read_outcome(path)
            except (HoldfastError, OSError) as error:
                self.problems[f"drill {path.parent.name}"] = str(error)
                continue
            self._reports[path.parent.name] = changed
            yield drill_event(outcome)

    def _of_evidence(self, since_ns: int) -> Iterable[Event]:
        early = since_ns - int(_CLOCKS_S * NANOSECONDS)
        try:
            listed = newest_kept(self._sites, _EVIDENCE_MAX)
        except HoldfastError as error:
            self.problems["evidence"] = str(error)
            return
        for one in reversed(listed):
            if one.at < early or one.run in self._evidence:
                continue
            if (why := self._unreadable.still(f"evidence {one.run}", one.at)) is not None:
                self.problems[f"evidence of {one.run}"] = why
                continue
            try:
                kept, stores = kept_of(self._sites, self._keys, one.run)
                record = decode_record(kept.files["evidence.json"], "evidence.json")
            except (HoldfastError, KeyError) as error:
                self.problems[f"evidence of {one.run}"] = str(error)
                if not (isinstance(error, HoldfastError) and error.retry):
                    self._unreadable.add(f"evidence {one.run}", one.at, str(error))
                continue
            self._unreadable.discard(f"evidence {one.run}")
            self._evidence.add(one.run)
            yield from evidence_events(record, one.run, kept.at, stores)


class _Unreadable:
    """What could not be read is read again ever less often while nobody writes to it: whoever may add names that are
    nothing delays by each of them what is to be told only once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[int, float, float, str]] = {}

    def still(self, name: str, written: int) -> str | None:
        """Why it could not be read; None where it is to be tried (again)."""
        written_then, until, _, why = self._known.get(name, (-1, 0.0, 0.0, ""))
        return why if written_then == written and self._clock.monotonic() < until else None

    def add(self, name: str, written: int, why: str) -> None:
        written_then, _, pause, _ = self._known.get(name, (-1, 0.0, 0.0, ""))
        pause = min(pause * 2, _PAUSE_MAX_S) if written_then == written else _PAUSE_S
        self._known[name] = (written, self._clock.monotonic() + pause, pause, why)

    def discard(self, name: str) -> None:
        self._known.pop(name, None)


class _Read:
    """A journal that was read, up to when it was written to then, and how many of its entries were told of."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.told = 0
        self._written, self._at = -1, 0.0

    def seen(self, written: int, now: float) -> None:
        if written != self._written:
            self._written, self._at = written, now

    def is_settled(self, written: int, now: float) -> bool:
        return written == self._written and now - self._at > _SETTLED_S


def run_events(run: str, entries: Iterable[Entry], told: int, since_ns: int) -> list[Event]:
    """Of the entries from that place on; what counts for nothing (who said it had lost the run) is not told."""
    known, found = list(entries), []
    ignored = set(run_state(known).ignored) if len(known) > told else set()
    latest = max((entry.at for entry in known[:told]), default=0)
    for place in range(told, len(known)):
        entry = known[place]
        latest = max(latest, entry.at)  # of two planes one clock may be behind
        if entry.number not in ignored and entry.at > since_ns:
            found.append(_run_event(run, entry, run_state(known[: place + 1]))._replace(order_ns=latest))
    return found


def _run_event(run: str, entry: Entry, state: RunState) -> Event:
    plan = plan_of(state)
    progress = progress_of(plan, state)
    step = f"step.{entry.deed.value}" if entry.deed in _STEP_DEEDS else entry.deed.value
    return Event(
        f"run/{run}/{entry.number:06d}",
        f"run.{step}",
        entry.at,
        {
            "run": run,
            "number": entry.number,
            "by": entry.by,
            "step": entry.step,
            "text": entry.text,
            "state": state.word,
            "verdict": state.verdict,
            "done": progress.done,
            "steps": progress.steps,
            "assets": list(plan.intent.assets),
            "site": plan.site,
            "isolated": plan.intent.isolated,
        },
    )


def incident_events(incident: Incident) -> list[Event]:
    """All but what was sent to whom: that is told by who sends it."""
    found, said = [], set()
    for entry in incident.entries:
        if entry.deed is Said.TOLD or (entry.deed in _ONCE and entry.deed in said):
            continue
        said.add(entry.deed)
        found.append(_incident_event(incident, entry))
    return found


def _incident_event(incident: Incident, entry: SaidEntry) -> Event:
    name = entry.deed.value
    if entry.deed not in _ONCE:
        name += f"/{hashlib.sha256(encode_entry(entry)).hexdigest()[:16]}"
    return Event(
        f"incident/{incident.id}/{name}",
        f"incident.{entry.deed.value}",
        entry.at,
        {
            "incident": incident.id,
            "subject": incident.subject,
            "severity": incident.severity,
            "title": incident.title,
            "asset": incident.asset,
            "site": incident.site,
            "by": entry.by,
            "step": entry.step,
            "run": entry.run,
            "text": entry.text,
        },
    )


def drill_event(outcome: DrillOutcome) -> Event:
    """Of a drill of this machine, whatever became of it."""
    facts = outcome.facts
    return _drill_finished(
        facts.drill_id,
        facts.ended.at_ns,
        name=facts.name,
        recovery=outcome.recovery,
        scenario=facts.scenario,
        outcome=facts.outcome.value,
        text=facts.why,
    )


def evidence_events(record: Evidence, run: str, at_ns: int, stores: Iterable[str]) -> list[Event]:
    """Of evidence that is kept at stores; of a drill's also that it has ended, for whoever is on another machine."""
    identity, outcome = record.identity, record.results.outcome.value
    found = []
    if identity.drill:
        found.append(
            _drill_finished(
                identity.drill,
                _moment(identity.ended_utc, at_ns),
                name=identity.drill_name,
                recovery=identity.recovery,
                scenario=record.scenario.name,
                outcome=outcome,
                text="",
            )
        )
    data = {"run": run, "drill": identity.drill, "record": identity.record_id, "title": identity.title}
    found.append(
        Event(f"evidence/{run}", "evidence.sealed", at_ns, {**data, "outcome": outcome, "stores": sorted(stores)})
    )
    return found


def _moment(text: str, otherwise_ns: int) -> int:
    """Its signer may have written anything."""
    try:
        return from_rfc3339(text)
    except ValueError:
        return otherwise_ns


def _drill_finished(drill: str, at_ns: int, **data: str) -> Event:
    whole = at_ns - at_ns % NANOSECONDS  # evidence says it to the millisecond
    return Event(f"drill/{drill}/finished", "drill.finished", whole, {"drill": drill, **data})
