"""Recoveries that begin by themselves: whether one does now, and why, or why not; each decision is kept.

In this order, and each no is final for now: the condition is true for the whole of its wait; nobody stopped everything
(the lever of drills), silenced it, or has it in hand; none was begun for this incident; the limits allow it; a plan can
be made; the place for the run is claimed, once for all who watch; the review lets it pass. Where only an approval
lacks, the run waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.config.conditions import Lasting, names_in, parse_condition
from holdfast.config.detecting_model import Automatic
from holdfast.control.incidents.claims import Claim, Claims
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.incidents.receiving import KIND
from holdfast.control.incidents.starting import Starter
from holdfast.control.incidents.telling import notice_of
from holdfast.control.sites.declared import DeclaredSites
from holdfast.detection.deciding import Because, Since, Truth, evaluate
from holdfast.detection.looks import State
from holdfast.detection.quorum import Verdict
from holdfast.errors import HoldfastError
from holdfast.notifying.model import Silence

__all__ = ["Decider", "Decision", "PROBE", "related"]

PROBE: Final = "probe"
CONDITION: Final = "condition"  # of a recovery, where none of its probes is bad
_WHY_MAX: Final = 4000
_ABOUT_TO_NS: Final = 60 * NANOSECONDS
_FIGURES: Final = re.compile(r"\b\d+(?:[.,:]\d+)*\b")
_RAN: Final = "a run began for the incident"


class Decision(NamedTuple):
    """Of one recovery. `begins`: its run begins now. `why`: the last reason; `because`: the condition, explained."""

    recovery: str
    begins: bool
    why: str
    because: Because
    incident: str = ""
    run: str = ""


class Decider:
    """Decides round after round. `lever`: why everything is stopped; empty: it is not."""

    def __init__(
        self,
        sites: DeclaredSites,
        log: IncidentLog,
        claims: Claims,
        starter: Starter,
        lever: Callable[[], str],
    ) -> None:
        self._sites, self._log, self._claims = sites, log, claims
        self._starter, self._lever = starter, lever
        self._since: dict[str, Since] = {}
        self._at = 0
        self._said: dict[tuple[str, str], str] = {}

    def take_over(self, other: Decider) -> None:
        """Since when conditions have been true, and what was said already."""
        self._since, self._at, self._said = dict(other._since), other._at, dict(other._said)

    def decide(self, verdicts: Mapping[str, Verdict], silences: Sequence[Silence]) -> list[Decision]:
        """Of every recovery that may begin by itself. What is decided of one is written to its incident when it is
        something new.
        """
        now = self._sites.clock.now_ns()
        # Who did not look for a while does not know that it was true all the time.
        gap = bool(self._at) and not 0 <= now - self._at <= int(self._sites.config.detect.stale_after * 1e9)
        self._at = now
        found = []
        for name, recovery in self._sites.config.recoveries.items():
            if recovery.automatic is None:
                continue
            condition = Lasting(parse_condition(recovery.automatic.when), recovery.automatic.wait)
            because, self._since[name] = evaluate(condition, verdicts, now, self._since.get(name, {}), gap)
            decision = self._one(name, recovery.automatic, because, verdicts, silences)
            self._keep(decision)
            found.append(decision)
        return found

    def _one(
        self,
        name: str,
        automatic: Automatic,
        because: Because,
        verdicts: Mapping[str, Verdict],
        silences: Sequence[Silence],
    ) -> Decision:
        incidents = related(self._sites, self._log.open_ones(), names_in(parse_condition(automatic.when)), verdicts)
        first = min(incidents, key=lambda one: (one.noticed_at, one.id), default=None)

        def no(why: str) -> Decision:
            return Decision(name, False, why, because, first.id if first is not None else "")

        if because.truth is not Truth.TRUE:
            return no(f"its condition is {because.truth.value}")
        if first is None:
            first = self._log.open_one(
                CONDITION,
                name,
                severity="critical",
                title=f"the condition of {name} is true",
                why="\n".join(because.lines())[:_WHY_MAX],
            )
            incidents = [first]
        known = next((one for one in incidents if any(run.step == name and run.run for run in one.entries)), None)
        if known is not None and (silenced := self._stopped([known], silences)):
            return no(silenced)
        if known is not None:
            run = next(one.run for one in known.entries if one.step == name and one.run)
            resumed = self._starter.resume(run, automatic, known)
            if resumed is not None:
                return Decision(name, resumed.begun, resumed.why, because, known.id, run)
            return no(f"{_RAN} {known.id}: one incident, one run")
        stopped = self._stopped(incidents, silences)
        if stopped:
            return no(stopped)
        try:
            claim = self._claims.of(name, first.id)
            if claim is not None:
                return self._claimed(claim, automatic, first, because)
            why = self._claims.problem(name)
            if why:
                return no(why)
            plan = self._starter.plan(name, automatic, first)
            self._claims.claim(name, first.id, plan.hash)
        except HoldfastError as error:
            return no(error.message)
        self._log.say(first.id, Deed.RUN, step=name, run=plan.run, text=f"begun by itself: {automatic.when}")
        started = self._starter.start(plan)
        return Decision(name, started.begun, started.why, because, first.id, plan.run)

    def _claimed(self, claim: Claim, automatic: Automatic, incident: Incident, because: Because) -> Decision:
        """Whoever claimed a run was killed before it was written to the incident, or is about to write it. Raises
        what the log raises.
        """

        def no(why: str) -> Decision:
            return Decision(claim.recovery, False, f"{claim.by} claimed its run, {why}", because, incident.id)

        if 0 <= self._sites.clock.now_ns() - claim.at < _ABOUT_TO_NS:
            return no("and is about to begin it")
        run = self._starter.planned(claim.plan) if claim.by == self._log.label else None
        if run is None:
            return no("and its plan is kept where it was made: it begins once somebody watches there again")
        self._log.say(incident.id, Deed.RUN, step=claim.recovery, run=run, text=f"begun by itself: {automatic.when}")
        started = self._starter.resume(run, automatic, incident)
        if started is None:
            return Decision(claim.recovery, False, f"{_RAN} {incident.id}: it began", because, incident.id, run)
        return Decision(claim.recovery, started.begun, started.why, because, incident.id, run)

    def _stopped(self, incidents: Sequence[Incident], silences: Sequence[Silence]) -> str:
        """Who wants that nothing begins; empty: nobody."""
        stopped = self._lever()
        if stopped:
            return f"everything that begins by itself is stopped: {stopped}"
        now = self._sites.clock.now_ns()
        for incident in incidents:
            silence = next((one for one in silences if one.covers(notice_of(incident), now)), None)
            if silence is not None:
                return f"{silence.owner} silenced it ({silence.reason})"
            if incident.acknowledged_at:
                return f"{incident.acknowledged_by} has the incident {incident.id} in hand"
        return ""

    def _keep(self, decision: Decision) -> None:
        """Written to the incident when it is another decision than before; figures that only grow are no other one."""
        if (
            not decision.incident
            or decision.why.startswith(_RAN)
            or self._said.get((decision.recovery, decision.incident)) == (said := _FIGURES.sub("#", decision.why))
        ):
            return
        self._said[decision.recovery, decision.incident] = said
        text = "\n".join([decision.why, *decision.because.lines()])[:_WHY_MAX]
        try:
            self._log.say(decision.incident, Deed.DECIDED, step=decision.recovery, text=text, run=decision.run)
        except HoldfastError as error:
            self._sites.progress.note(f"{decision.recovery}: the decision is not written down: {error.message}")


def related(
    sites: DeclaredSites, incidents: Sequence[Incident], probes: Sequence[str], verdicts: Mapping[str, Verdict]
) -> list[Incident]:
    """The open incidents of these probes, and of the alerts that these probes are about, as far as they are bad."""
    bad = {name for name in probes if name in verdicts and verdicts[name].state is State.BAD}
    declared = sites.config.detect.probes
    alerts = {declared[name].alert for name in bad if declared[name].kind == "alert"}
    return [
        one
        for one in incidents
        if (one.kind == PROBE and one.subject in bad)
        or (one.kind == KIND and one.labels.get("alertname") in alerts)
        or (one.kind == CONDITION and set(probes) & bad)
    ]
