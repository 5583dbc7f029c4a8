"""How often to save: what a save costs against what a failure loses, within what the class of the asset allows. Pure.

Words: τ is the training time between two saves, δ the training time that one save costs, M the mean time between
failures. All are seconds.

* Young (J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974, 530–531):
  τ = √(2 δ M).
* Daly (J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
  Computer Systems 22(3), 2006, 303–312, eq. 37): τ = √(2δM) · [1 + ⅓ (δ/2M)^½ + ⅑ (δ/2M)] − δ for δ < 2M, else τ = M.
* The time that a job of T seconds of work takes then (ibid., with restarts of R seconds):
  M e^(R/M) (e^((τ+δ)/M) − 1) T/τ. R moves the total, not the best τ.

Saving beside training: δ counts what training loses, the time it stands still and its slowdown while the save runs in
the background. Until a save is durable (`durable_seconds` after it began) a failure falls back to the one before: that
adds a constant to what is lost, moves the best τ not to first order, but counts fully against an RPO.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from holdfast.errors import UsageError
from holdfast.objectives.failure_rates import FailureRate

__all__ = ["Decider", "SaveCost", "Bound", "Choice", "young", "daly", "expected_overhead", "choose_interval"]

Decider = Literal["cost", "rpo", "saving", "at_least", "at_most", "first"]


class SaveCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one save costs. `stopped_seconds`: training stands still; `slowed_seconds`: training time lost while the
    save runs beside it; `durable_seconds`: from its beginning until it is durable.
    """

    stopped_seconds: float
    slowed_seconds: float = 0.0
    durable_seconds: float = 0.0

    @property
    def lost_seconds(self) -> float:
        """δ of the formulas."""
        return self.stopped_seconds + self.slowed_seconds

    def checked(self) -> SaveCost:
        """Raises UsageError where a part is negative or no number."""
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} of a save cannot be {getattr(self, name)!r}")
        return self


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that speaks for an interval between beginnings: which, how long (seconds), and why, in words."""

    decider: Decider
    seconds: float
    reason: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The interval between the beginnings of two saves: τ + δ, by the clock. `decided_by` is one of `bounds`.

    `overhead`: the share of time that saves and lost work cost at this interval; None where cost or rate is unknown.
    `attainable`: False where not even saving without pause keeps the RPO.
    """

    seconds: float
    decided_by: Decider
    bounds: tuple[Bound, ...]
    overhead: float | None
    attainable: bool = True


def young(lost_seconds: float, mtbf_seconds: float) -> float:
    """The first-order optimum, √(2 δ M)."""
    return math.sqrt(2 * lost_seconds * mtbf_seconds)


def daly(lost_seconds: float, mtbf_seconds: float) -> float:
    """The higher-order optimum. 0 for saves that cost nothing."""
    if lost_seconds >= 2 * mtbf_seconds:
        return mtbf_seconds
    ratio = lost_seconds / (2 * mtbf_seconds)
    return young(lost_seconds, mtbf_seconds) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - lost_seconds


def expected_overhead(interval: float, lost_seconds: float, mtbf_seconds: float, restart_seconds: float = 0.0) -> float:
    """Time taken / time of useful work − 1, in expectation; infinite where no interval would ever be finished."""
    if interval <= 0:
        return math.inf
    try:
        taken = math.exp(restart_seconds / mtbf_seconds) * math.expm1((interval + lost_seconds) / mtbf_seconds)
    except OverflowError:
        return math.inf
    return max(0.0, mtbf_seconds * taken / interval - 1)


def choose_interval(
    *,
    cost: SaveCost | None,
    rate: FailureRate | None,
    rpo_seconds: float | None = None,
    at_least: float = 0.0,
    at_most: float | None = None,
    first_seconds: float = 60.0,
) -> Choice:
    """The interval, and what decided it.

    Daly's optimum, no longer than the RPO less the time until a save is durable and than `at_most`, no shorter than a
    save takes (one at a time) and than `at_least`, which only wins over the optimum. `cost` is None before anything was
    measured: then the first save comes after `first_seconds` at the latest, to measure it. Raises UsageError.
    """
    _check(rpo_seconds, at_least, at_most, first_seconds)
    saving = cost.checked().durable_seconds if cost is not None else 0.0
    wanted = _optimum(cost, rate)
    floors = _floors(cost, at_least)
    ceilings = _ceilings(cost, rpo_seconds, at_most, first_seconds)
    if not (wanted or ceilings):
        raise UsageError(
            "nothing says how often to save",
            hint="give an RPO, a mean time between failures, incidents, or a longest interval",
        )
    most = min(ceilings, key=_seconds, default=None)
    best = max([*wanted, *floors], key=_seconds) if wanted else most
    if most is not None and (best is None or most.seconds < best.seconds):
        best = most
    assert best is not None
    if best.seconds < saving:  # one save at a time: nothing comes sooner than the one before is done
        best = next(one for one in floors if one.decider == "saving")
    overhead = None
    if cost is not None and rate is not None:
        work = best.seconds - cost.lost_seconds
        overhead = expected_overhead(work, cost.lost_seconds, rate.mtbf_seconds)
    return Choice(
        seconds=best.seconds,
        decided_by=best.decider,
        bounds=(*wanted, *floors, *ceilings),
        overhead=overhead,
        attainable=rpo_seconds is None or cost is None or best.seconds + saving <= rpo_seconds,
    )


def _optimum(cost: SaveCost | None, rate: FailureRate | None) -> list[Bound]:
    if cost is None or rate is None:
        return []
    best = daly(cost.lost_seconds, rate.mtbf_seconds) + cost.lost_seconds
    return [Bound(decider="cost", seconds=best, reason="saves and lost work together cost least (Daly 2006)")]


def _floors(cost: SaveCost | None, at_least: float) -> list[Bound]:
    floors = []
    if cost is not None:
        floors.append(Bound(decider="saving", seconds=cost.durable_seconds, reason="a save takes that long"))
    if at_least:
        floors.append(Bound(decider="at_least", seconds=at_least, reason="the shortest interval that was asked for"))
    return floors


def _ceilings(cost: SaveCost | None, rpo: float | None, at_most: float | None, first: float) -> list[Bound]:
    ceilings = []
    if cost is None:
        ceilings.append(Bound(decider="first", seconds=first, reason="no save was measured yet: the next one is"))
    if rpo is not None:
        until = 0.0 if cost is None else cost.durable_seconds
        reason = "the RPO, less the time until a save is durable" if until else "the RPO"
        ceilings.append(Bound(decider="rpo", seconds=max(0.0, rpo - until), reason=reason))
    if at_most is not None:
        ceilings.append(Bound(decider="at_most", seconds=at_most, reason="the longest interval that was asked for"))
    return ceilings


def _seconds(bound: Bound) -> float:
    return bound.seconds


def _check(rpo: float | None, at_least: float, at_most: float | None, first: float) -> None:
    for name, value in (("rpo", rpo), ("at_least", at_least), ("at_most", at_most), ("first", first)):
        if value is not None and not 0 <= value < math.inf:
            raise UsageError(f"{name} is a number of seconds, not {value!r}")
    if at_most is not None and at_least > at_most:
        raise UsageError(f"at_least ({at_least:g} s) is more than at_most ({at_most:g} s)")
