"""What records of drills are worth to the assets that they are of: for `holdfast.objectives.credit`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from holdfast.clock import from_rfc3339
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import Environment, Exercise, RunKind
from holdfast.objectives import NOT_MEASURED, Judgement, NotMeasured
from holdfast.objectives.credit import Attempt, Reach

__all__ = ["attempts_in", "merged", "without_credit"]

_REACH: Final = {
    Exercise.TABLETOP: Reach.TABLETOP,
    Exercise.COMPONENT_RESTORE: Reach.COMPONENT,
    Exercise.SIMULATION: Reach.SIMULATION,
    Exercise.FUNCTIONAL_FAILOVER: Reach.FUNCTIONAL,
    Exercise.FULL_INTERRUPTION: Reach.RECOVERY,
}


def attempts_in(records: Iterable[Evidence]) -> list[Attempt]:
    """One for each asset of each drill that PASSED or FAILED. Of those that ended otherwise, and of those in which
    something was made to go wrong to try the drill itself, none. What a drill excluded gains nothing by it.
    """
    return [attempt for record in records for attempt in _of(record)]


def _of(record: Evidence) -> Iterator[Attempt]:
    identity, results = record.identity, record.results
    if identity.kind is not RunKind.DRILL or record.scenario.planted:
        return
    if results.outcome not in (Outcome.PASSED, Outcome.FAILED):
        return
    try:
        at = from_rfc3339(identity.ended_utc)
    except (ValueError, OverflowError):
        return
    reach = _REACH[identity.exercise]
    if identity.environment is Environment.SIMULATED:
        reach = min(reach, Reach.SIMULATION, key=list(Reach).index)
    excluded = {one.what for one in record.scope.exclusions}
    scenario = record.scenario.name
    for asset in record.scope.assets:
        if asset.name in excluded:
            continue
        yield Attempt(
            asset=asset.name,
            at=at,
            passed=results.outcome is Outcome.PASSED,
            reach=reach,
            scenario=scenario,
            what=f"the drill {identity.drill[:12]} ({scenario}, {reach.value})",
            run=identity.run,
            rto=_measured(results.verdict.rto),
            rpo=_measured(results.verdict.rpo),
        )


def _measured(judged: Judgement) -> float | NotMeasured:
    """What cannot be was not measured."""
    value = judged.measured
    return NOT_MEASURED if isinstance(value, NotMeasured) or value < 0 else value


def merged(
    runs: Iterable[Attempt], drills: Iterable[Attempt], broken: Iterable[str] = (), unread: Iterable[str] = ()
) -> list[Attempt]:
    """Runs by their journals, and drills by their records: of a run that was a drill's the drill's verdict counts, with
    the run's time where the drill has none, and an asset that the drill left out gains nothing by the run. `broken`:
    runs of drills that ended as neither PASSED nor FAILED. `unread`: runs whose evidence says what nobody could read:
    that they passed gives no credit.
    """
    said, says_nothing, in_doubt = list(drills), set(broken), set(unread)
    told = {one.run for one in said}
    by_run = {(one.run, one.asset): one for one in runs if one.run not in says_nothing}
    found = []
    for one in said:
        same = by_run.pop((one.run, one.asset), None)
        if same is not None and one.passed and same.passed and isinstance(one.rto, NotMeasured):
            found.append(msgspec.structs.replace(one, rto=same.rto))
        else:
            found.append(one)
    rest = [one for one in by_run.values() if not (one.passed and one.run in told)]
    return [
        *(without_credit(one, "its evidence cannot be read") if one.run in in_doubt else one for one in rest),
        *found,
    ]


def without_credit(one: Attempt, why: str) -> Attempt:
    """What passed, and counts for nothing all the same: neither as an RTO, nor as what makes a failure good."""
    if not one.passed:
        return one
    return msgspec.structs.replace(one, reach=Reach.TABLETOP, rto=NOT_MEASURED, what=f"{one.what} ({why})")
