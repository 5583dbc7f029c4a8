"""How an asset stands against its objective: current, achievable and target, a state, its reason, what would help.

Pure: it judges what it is handed. For both RPO and RTO:

* *current*: what would be true of a fault now. RPO: the exposure, the age of the newest content that survives any one
  site and was read back there. RTO: what the last drill that counts took.
* *achievable*: the best that the present set-up can do. RPO: interval + copy + reading back (a fault just before the
  next snapshot is safe costs all three); where one of these is not known, what a functional drill measured. RTO: what a
  plan of today estimates; without an estimate, what the last drill that counts measured.

A proof and a drill count for 30 days; which drill counts, `objectives.credit` says. Exclusions are shown, and gain
nothing: what is excluded is not met.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import UsageError
from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.units import format_duration

__all__ = [
    "CREDIT_SECONDS",
    "Change",
    "Drilled",
    "Exclusion",
    "Observed",
    "Standing",
    "State",
    "Target",
    "stand",
    "worst_state",
]

CREDIT_SECONDS = 30 * 86400.0
_RISK = 0.8  # of the target: above it, it is at risk
_ENDING_SECONDS = 7 * 86400.0  # a drill whose credit ends within that puts it at risk, too
_SKEW_NS = 300 * NANOSECONDS


class State(StrEnum):
    """From good to bad. Only MET and AT_RISK are green."""

    MET = "MET"
    AT_RISK = "AT_RISK"
    NOT_MEASURED = "NOT_MEASURED"
    UNATTAINABLE = "UNATTAINABLE"  # as it is set up, it cannot always be met
    BREACHED = "BREACHED"


class Drilled(msgspec.Struct, frozen=True, kw_only=True):
    """The last recovery of the asset that counts, real or rehearsed: seconds, when (ns), and the RPO where a drill of a
    failover measured one.
    """

    seconds: float
    at: int
    drill: str = ""
    rpo: float | NotMeasured = NOT_MEASURED


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could be changed: what RPO and RTO (seconds) it would make achievable, and its price.

    None: it leaves that one as it is. `monthly`: in the currency of the price book; None: nobody priced it.
    """

    what: str
    rpo: float | None = None
    rto: float | None = None
    monthly: float | None = None


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's decision not to count an asset until a time (ns): with a reason and an owner, or it is none."""

    reason: str
    owner: str
    until: int

    def __post_init__(self) -> None:
        """Raises UsageError without a reason or an owner."""
        if not self.reason.strip() or not self.owner.strip():
            raise UsageError("an exclusion has a reason and an owner")


class Observed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of an asset at `at` (ns). Durations are seconds.

    `exposure`: the worst over its sites. `interval`: between snapshots, as they come; `copying` and `verifying`: until
    a snapshot is whole elsewhere, and read back there. `planned`: the estimate of a recovery plan of today.
    `undrilled`: why no drill counts, where one might be thought to.
    """

    asset: str
    at: int
    rpo: float | None = None
    rto: float | None = None
    exposure: float | NotMeasured = NOT_MEASURED
    interval: float | NotMeasured = NOT_MEASURED
    copying: float | NotMeasured = NOT_MEASURED
    verifying: float | NotMeasured = NOT_MEASURED
    drilled: Drilled | None = None
    undrilled: str = ""
    planned: float | NotMeasured = NOT_MEASURED
    changes: tuple[Change, ...] = ()
    exclusion: Exclusion | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of RPO and RTO. `cheapest`: of the changes handed in, the one with the least price that would meet it."""

    target: float | None
    current: float | NotMeasured
    achievable: float | NotMeasured
    state: State
    reason: str
    cheapest: Change | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an asset stands. `excluded`: in words, while the exclusion lasts; the states are as if there were none."""

    asset: str
    rpo: Target
    rto: Target
    excluded: str = ""

    @property
    def state(self) -> State:
        """The worse of the two."""
        return worst_state([self.rpo.state, self.rto.state])


def worst_state(states: Iterable[State]) -> State:
    """BREACHED before UNATTAINABLE before NOT_MEASURED before AT_RISK before MET; of none NOT_MEASURED."""
    order = list(State)
    return max(states, key=order.index, default=State.NOT_MEASURED)


def stand(observed: Observed) -> Standing:
    """Judge; never raises. What was not measured, or too long ago, is NOT_MEASURED."""
    return Standing(asset=observed.asset, rpo=_rpo(observed), rto=_rto(observed), excluded=_excluded(observed))


def _rpo(observed: Observed) -> Target:
    parts = {"interval": observed.interval, "copying": observed.copying, "verifying": observed.verifying}
    missing = [name for name, value in parts.items() if isinstance(value, NotMeasured)]
    achievable = sum(value for value in parts.values() if not isinstance(value, NotMeasured))
    best: float | NotMeasured = NOT_MEASURED if missing else achievable
    unknown = "" if observed.exposure is not NOT_MEASURED else "no snapshot was read back at a site that would survive"
    by_parts = (
        f"not measured: {', '.join(missing)}"
        if missing
        else " + ".join(
            f"{name} {format_duration(value)}" for name, value in parts.items() if not isinstance(value, NotMeasured)
        )
    )
    drilled, risks = observed.drilled, []
    if missing and drilled is not None and _counts(observed, drilled) and _is_met(drilled.rpo, observed.rpo):
        risks.append(f"what is achievable was measured on copies alone, by {drilled.drill[:12]} ({by_parts})")
        best, by_parts = drilled.rpo, f"measured on copies by {drilled.drill[:12]}"
    return _target("RPO", observed.rpo, observed.exposure, best, by_parts, unknown, risks, observed.changes)


def _rto(observed: Observed) -> Target:
    drilled = observed.drilled
    current: float | NotMeasured = NOT_MEASURED
    unknown, risks = "", []
    if drilled is None:
        unknown = observed.undrilled or "it was never recovered, not even in a drill"
    else:
        age = (observed.at - drilled.at) / NANOSECONDS
        if drilled.at > observed.at + _SKEW_NS:
            unknown = f"its last drill is {format_duration(-age)} of the future"
        elif age > CREDIT_SECONDS:
            unknown = f"its last drill was {format_duration(age)} ago, and counts for {format_duration(CREDIT_SECONDS)}"
        else:
            current = drilled.seconds
            if CREDIT_SECONDS - age < _ENDING_SECONDS:
                risks.append(f"its last drill counts for {format_duration(CREDIT_SECONDS - age)} more")
    best = observed.planned
    by_parts = "no plan of today has an estimate" if isinstance(best, NotMeasured) else "as a plan of today estimates"
    if isinstance(best, NotMeasured) and drilled is not None and not isinstance(current, NotMeasured):
        risks.append(f"what is achievable now is not known ({by_parts})")
        best, by_parts = current, f"measured by {drilled.drill[:12]}"
    return _target("RTO", observed.rto, current, best, by_parts, unknown, risks, observed.changes)


def _is_met(measured: float | NotMeasured, target: float | None) -> bool:
    """What a drill measured above the target it missed: its finding says so."""
    return not isinstance(measured, NotMeasured) and (target is None or measured <= target)


def _counts(observed: Observed, drilled: Drilled) -> bool:
    """Neither too old nor of the future."""
    age = (observed.at - drilled.at) / NANOSECONDS
    return age <= CREDIT_SECONDS and drilled.at <= observed.at + _SKEW_NS


def _target(
    name: str,
    target: float | None,
    current: float | NotMeasured,
    achievable: float | NotMeasured,
    by_parts: str,
    unknown: str,
    risks: list[str],
    changes: tuple[Change, ...],
) -> Target:
    def made(state: State, reason: str, *, help_wanted: bool = False) -> Target:
        cheapest = _cheapest(name, target, changes) if help_wanted and target is not None else None
        return Target(
            target=target, current=current, achievable=achievable, state=state, reason=reason, cheapest=cheapest
        )

    if target is None:
        return made(State.NOT_MEASURED, f"its class takes the {name} from a rule, and none was set")
    allowed = f"{format_duration(target)} is allowed"
    if not isinstance(current, NotMeasured) and current > target:
        return made(State.BREACHED, f"the {name} is {format_duration(current)} now; {allowed}", help_wanted=True)
    if not isinstance(achievable, NotMeasured) and achievable > target:
        reason = f"the best of the present set-up is {format_duration(achievable)} ({by_parts}); {allowed}"
        return made(State.UNATTAINABLE, reason, help_wanted=True)
    if isinstance(current, NotMeasured):
        return made(State.NOT_MEASURED, unknown, help_wanted=True)
    if current > _RISK * target:
        risks.append(f"{format_duration(current)} of {format_duration(target)} are used up")
    if isinstance(achievable, NotMeasured):
        risks.append(f"what is achievable is not known ({by_parts})")
    elif achievable > _RISK * target:
        risks.append(f"the best of the present set-up is {format_duration(achievable)} ({by_parts})")
    if risks:
        return made(State.AT_RISK, "; ".join(risks), help_wanted=True)
    return made(State.MET, f"the {name} is {format_duration(current)}; {allowed}")


def _cheapest(name: str, target: float, changes: tuple[Change, ...]) -> Change | None:
    """The one with the least price that meets the target; those that nobody priced come last."""
    reaching = [
        one for one in changes if (value := one.rpo if name == "RPO" else one.rto) is not None and value <= target
    ]
    return min(reaching, key=lambda one: (one.monthly is None, one.monthly or 0.0, one.what), default=None)


def _excluded(observed: Observed) -> str:
    exclusion = observed.exclusion
    if exclusion is None:
        return ""
    who = f"{exclusion.owner}: {exclusion.reason}"
    if observed.at >= exclusion.until:
        return f"the exclusion ended at {to_rfc3339(exclusion.until)} ({who})"
    return f"excluded until {to_rfc3339(exclusion.until)} ({who}); it gains no credit by that"
