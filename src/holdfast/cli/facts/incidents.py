"""Facts about incidents."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.incidents import (
    DeadlineFacts,
    DecisionFacts,
    IncidentApproved,
    IncidentEntryFacts,
    IncidentFacts,
    IncidentList,
    IncidentRound,
    IncidentShown,
    IncidentSilenced,
    VerdictFacts,
)
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.incidents.model import Incident
from holdfast.control.incidents.preapproving import StandingApproval
from holdfast.control.incidents.reading import Shown
from holdfast.control.incidents.watching import Round
from holdfast.notifying.model import Silence

__all__ = ["approved_facts", "incident_facts", "list_facts", "round_facts", "shown_facts", "silenced_facts"]


def _time(at: int) -> str | None:
    return to_rfc3339(at) if at else None


def incident_facts(one: Incident) -> IncidentFacts:
    return IncidentFacts(
        incident=one.id,
        state=one.state,
        severity=one.severity,
        kind=one.kind,
        subject=clean(one.subject),
        title=clean(one.title),
        asset=clean(one.asset),
        site=one.site,
        fault_at=_time(one.fault_at),
        noticed_at=to_rfc3339(one.noticed_at),
        acknowledged_at=_time(one.acknowledged_at),
        acknowledged_by=clean(one.acknowledged_by),
        resolved_at=_time(one.resolved_at),
        resolved_by=clean(one.resolved_by),
        runs=list(one.runs),
    )


def list_facts(found: Iterable[Incident], silences: Iterable[Silence]) -> IncidentList:
    return IncidentList(incidents=[incident_facts(one) for one in found], silences=[_silence(one) for one in silences])


def _silence(one: Silence) -> str:
    return clean(f"{one.matches} until {to_rfc3339(one.until)}, by {one.owner}: {one.reason}")


def shown_facts(shown: Shown, now_ns: int) -> IncidentShown:
    one = shown.incident
    return IncidentShown(
        incident=incident_facts(one),
        why=_lines(one.why),
        resolution=_lines(one.resolution),
        deadlines=[
            DeadlineFacts(
                name=timer.name,
                authority=clean(timer.authority),
                basis=clean(timer.basis),
                ends=to_rfc3339(timer.ends),
                left_seconds=timer.left_s(now_ns),
                told_at=_time(timer.told_at),
            )
            for timer in shown.timers
        ],
        next_message=_time(shown.next_due or 0),
        silences=[_silence(silence) for silence in shown.silences],
        entries=[
            IncidentEntryFacts(
                at=to_rfc3339(entry.at),
                by=clean(entry.by),
                deed=entry.deed.value,
                step=clean(entry.step),
                channel=clean(entry.channel),
                run=clean(entry.run),
                text=_lines(entry.text),
            )
            for entry in one.entries
        ],
    )


def _lines(text: str) -> str:
    return "\n".join(clean(line) for line in text.splitlines())


def round_facts(done: Round, observer: str, now_ns: int) -> IncidentRound:
    return IncidentRound(
        observer=observer,
        at=to_rfc3339(now_ns),
        verdicts=[
            VerdictFacts(
                probe=name,
                state=verdict.state.value,
                why=clean(verdict.why),
                voices={
                    clean(voice.observer): clean(
                        f"{voice.state.value}{'' if voice.counts else ', does not count'}: {voice.why}"
                    )
                    for voice in verdict.voices
                },
            )
            for name, verdict in done.verdicts.items()
        ],
        opened=list(done.opened),
        resolved=list(done.resolved),
        decisions=[
            DecisionFacts(
                recovery=one.recovery,
                begins=one.begins,
                why=clean(one.why),
                run=one.run,
                incident=one.incident,
                because=[clean(line) for line in one.because.lines()],
            )
            for one in done.decisions
        ],
        messages=done.sent,
        problems={clean(name): clean(why) for name, why in done.problems.items()},
    )


def silenced_facts(made: Silence) -> IncidentSilenced:
    return IncidentSilenced(
        matches=clean(made.matches), reason=clean(made.reason), owner=clean(made.owner), until=to_rfc3339(made.until)
    )


def approved_facts(made: StandingApproval) -> IncidentApproved:
    return IncidentApproved(
        recovery=made.recovery,
        declaration=made.declaration,
        starter=clean(made.starter),
        by=clean(made.by),
        until=to_rfc3339(made.until),
        seconds=(made.until - made.at) / NANOSECONDS,
    )
