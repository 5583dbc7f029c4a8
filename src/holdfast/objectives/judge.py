"""Verdicts: each target of an objective against what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast.objectives.measured import NOT_MEASURED, Measured, NotMeasured, Split, rpo_seconds
from holdfast.objectives.model import Objective
from holdfast.units import format_duration

__all__ = ["State", "Judgement", "Verdict", "judge", "worst"]


class State(StrEnum):
    """How a target came out. Only MET is good news."""

    MET = "MET"
    NOT_MEASURED = "NOT_MEASURED"
    MISSED = "MISSED"
    INVALID = "INVALID"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One target: seconds (RPO, RTO) or a number of sites (copies), and one sentence that gives the reason.

    `target` is None where the class sets none. `tolerated`: it was missed, but by no more than can be survived.
    """

    target: float | None
    measured: float | NotMeasured
    state: State
    reason: str
    tolerated: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgements of one recovery."""

    rpo: Judgement
    rto: Judgement
    copies: Judgement

    @property
    def state(self) -> State:
        """The worst of the three: met only if all are."""
        return worst([self.rpo.state, self.rto.state, self.copies.state])


def worst(states: Iterable[State]) -> State:
    """INVALID before MISSED before NOT_MEASURED before MET; NOT_MEASURED when there are none."""
    order = list(State)
    return max(states, key=order.index, default=State.NOT_MEASURED)


def judge(objective: Objective, measured: Measured) -> Verdict:
    """Compare; never raises. What was not measured is NOT_MEASURED, what cannot be is INVALID, and neither is met."""
    return Verdict(
        rpo=_judge_rpo(objective, measured),
        rto=_judge_rto(objective, measured.split),
        copies=_judge_copies(objective, measured.copies),
    )


def _judge_rpo(objective: Objective, measured: Measured) -> Judgement:
    value = rpo_seconds(measured)
    target = objective.rpo_seconds
    if isinstance(value, NotMeasured):
        return _unmeasured(target, f"The RPO was not measured: {_why_no_rpo(measured)}.")
    if value < 0:
        reason = f"The content or a change is {format_duration(-value)} newer than the fault: the clocks disagree."
        return Judgement(target=target, measured=value, state=State.INVALID, reason=reason)
    return _compare(target, value, objective.rpo_tolerated_seconds, "RPO")


def _why_no_rpo(measured: Measured) -> str:
    if isinstance(measured.fault_ns, NotMeasured):
        return "the time of the fault is unknown"
    if not measured.restored or isinstance(measured.content_ns, NotMeasured):
        return "no snapshot was restored"
    return "the restored snapshot was not verified"


def _judge_rto(objective: Objective, split: Split) -> Judgement:
    target = objective.rto_seconds
    for name, value in split.parts():
        if not isinstance(value, NotMeasured) and not 0 <= value < math.inf:
            reason = f"The part '{name}' of the recovery took {value:g} s, which cannot be."
            return Judgement(target=target, measured=NOT_MEASURED, state=State.INVALID, reason=reason)
    total = split.total
    if isinstance(total, NotMeasured):
        missing = ", ".join(name for name, value in split.parts() if isinstance(value, NotMeasured))
        return _unmeasured(target, f"The RTO was not measured: these parts are missing: {missing}.")
    if math.isinf(total):
        reason = "The parts of the recovery add up to more seconds than there are."
        return Judgement(target=target, measured=NOT_MEASURED, state=State.INVALID, reason=reason)
    return _compare(target, total, objective.rto_tolerated_seconds, "RTO")


def _judge_copies(objective: Objective, copies: int | NotMeasured) -> Judgement:
    target = None if objective.copies is None else float(objective.copies)
    if isinstance(copies, NotMeasured):
        return _unmeasured(target, "The verified copies were not counted.")
    if copies < 0:
        reason = f"{copies} copies cannot be."
        return Judgement(target=target, measured=float(copies), state=State.INVALID, reason=reason)
    if target is None:
        return _without_target(float(copies), "number of copies")
    state = State.MET if copies >= target else State.MISSED
    reason = f"Sites with a verified copy: {copies}; at least {target:.0f} are asked for."
    return Judgement(target=target, measured=float(copies), state=state, reason=reason)


def _compare(target: float | None, value: float, tolerated: float | None, name: str) -> Judgement:
    if target is None:
        return _without_target(value, name)
    sentence = f"The {name} is {format_duration(value)}; at most {format_duration(target)} is allowed."
    if value <= target:
        return Judgement(target=target, measured=value, state=State.MET, reason=sentence)
    if tolerated is not None and value <= tolerated:
        sentence += f" Up to {format_duration(tolerated)} is tolerated."
        return Judgement(target=target, measured=value, state=State.MISSED, reason=sentence, tolerated=True)
    return Judgement(target=target, measured=value, state=State.MISSED, reason=sentence)


def _unmeasured(target: float | None, reason: str) -> Judgement:
    return Judgement(target=target, measured=NOT_MEASURED, state=State.NOT_MEASURED, reason=reason)


def _without_target(value: float, name: str) -> Judgement:
    reason = f"There is nothing to compare with: this class takes its {name} from a rule, and none was set."
    return Judgement(target=None, measured=value, state=State.INVALID, reason=reason)
