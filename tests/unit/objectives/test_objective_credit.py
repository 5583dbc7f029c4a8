"""What drills are worth: which kinds count, what a failure takes away and what gives it back, what expires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.clock import NANOSECONDS
from holdfast.objectives.credit import Attempt, Reach, credit_of
from holdfast.objectives.measured import NOT_MEASURED
from holdfast.objectives.standing import Observed, State, stand

NOW = 1_795_000_000 * NANOSECONDS
DAY = 86_400 * NANOSECONDS
HOUR = 3600.0


def attempt(days: float, reach: Reach = Reach.FUNCTIONAL, **changes: object) -> Attempt:
    """A site-lost drill that PASSED so many days ago."""
    usual = Attempt(
        asset="llama",
        at=NOW - round(days * DAY),
        passed=True,
        reach=reach,
        scenario="site-lost",
        what=f"the drill of {days} days ago ({reach.value})",
        run=f"{days:020.3f}",
        rto=HOUR,
        rpo=60.0,
    )
    return replace(usual, **changes)


def observed(*attempts: Attempt) -> Observed:
    credit = credit_of(attempts)
    return Observed(
        asset="llama",
        at=NOW,
        rpo=2 * HOUR,
        rto=4 * HOUR,
        exposure=600.0,
        interval=600.0,
        copying=60.0,
        verifying=60.0,
        planned=HOUR,
        drilled=credit.drilled,
        undrilled=credit.why,
    )


@pytest.mark.parametrize(
    ("reach", "counts", "rpo"),
    [
        (Reach.TABLETOP, False, False),
        (Reach.COMPONENT, True, False),
        (Reach.SIMULATION, False, False),
        (Reach.FUNCTIONAL, True, True),
        (Reach.RECOVERY, True, False),
    ],
)
def test_each_kind_of_proof_is_worth_what_it_measured(reach: Reach, counts: bool, rpo: bool) -> None:
    drilled, why, against = credit_of([attempt(1, reach)])
    assert (drilled is not None) == counts and not against
    if drilled is None:
        assert "measured no RTO of this asset" in why
        return
    assert drilled.seconds == HOUR and drilled.drill == attempt(1, reach).run
    assert drilled.rpo == (60.0 if rpo else NOT_MEASURED)
    assert "the drill of 1 days ago" in why  # its source is named


def test_a_drill_without_an_rto_is_worth_nothing() -> None:
    assert credit_of([attempt(1, rto=NOT_MEASURED)]).drilled is None
    assert credit_of([]).why == "no run of it has passed"


def test_a_failover_comes_before_a_newer_restore_and_the_newest_failover_counts() -> None:
    old, new, part = attempt(20, rto=2 * HOUR), attempt(10, rto=3 * HOUR), attempt(1, Reach.COMPONENT, rto=5.0)
    drilled = credit_of([part, new, old]).drilled
    assert drilled is not None and drilled.seconds == 3 * HOUR


def test_a_later_failure_takes_it_away_until_the_same_scenario_passes_as_far() -> None:
    good, bad = attempt(9), attempt(5, passed=False, rto=NOT_MEASURED)
    taken = credit_of([good, bad])
    assert taken.drilled is None and taken.against == (bad,)
    assert "FAILED" in taken.why and "until site-lost is run again, at least as far, and passes" in taken.why
    for no_help in (
        attempt(3, scenario="keys-lost"),  # another scenario
        attempt(3, Reach.COMPONENT),  # not as far
        attempt(3, Reach.SIMULATION),
        attempt(6),  # before it
    ):
        assert credit_of([good, bad, no_help]).drilled is None, no_help
    given_back = credit_of([good, bad, attempt(3, rto=7.0)])
    assert given_back.drilled is not None and given_back.drilled.seconds == 7.0


def test_what_failed_in_earnest_is_made_good_by_a_failover_on_copies() -> None:
    bad = attempt(5, Reach.RECOVERY, passed=False, scenario="")
    assert credit_of([bad, attempt(3, Reach.COMPONENT)]).drilled is None
    assert credit_of([bad, attempt(3, Reach.SIMULATION)]).drilled is None
    assert credit_of([bad, attempt(3)]).drilled is not None
    rehearsal = attempt(5, Reach.COMPONENT, passed=False, scenario="")
    assert credit_of([rehearsal, attempt(3, Reach.TABLETOP)]).against == (rehearsal,)
    assert credit_of([rehearsal, attempt(3, Reach.COMPONENT, scenario="")]).drilled is not None


def test_a_failure_of_long_ago_still_stands_and_credit_of_long_ago_does_not() -> None:
    assert credit_of([attempt(90, passed=False), attempt(2, scenario="keys-lost")]).drilled is None
    for days, state in ((22, State.MET), (24, State.AT_RISK), (31, State.NOT_MEASURED)):
        assert stand(observed(attempt(days))).rto.state is state


def test_the_standing_says_why_there_is_no_credit() -> None:
    target = stand(observed(attempt(9), attempt(5, passed=False))).rto
    assert target.state is State.NOT_MEASURED and "FAILED at" in target.reason


def test_what_a_drill_measured_stands_where_nothing_else_says_what_is_achievable() -> None:
    good = observed(attempt(1))
    assert stand(good).rpo.achievable == 720.0  # of parts that are known the sum counts
    bare = stand(replace(good, copying=NOT_MEASURED, planned=NOT_MEASURED))
    assert bare.rpo.achievable == 60.0 and bare.rto.achievable == HOUR
    assert (bare.rpo.state, bare.rto.state) == (State.AT_RISK, State.AT_RISK)  # never green by that
    assert "measured on copies alone" in bare.rpo.reason and "not measured: copying" in bare.rpo.reason
    assert "no plan of today" in bare.rto.reason
    old = stand(replace(good, copying=NOT_MEASURED, drilled=replace(good.drilled, at=NOW - 31 * DAY)))  # type: ignore[type-var]
    assert old.rpo.achievable is NOT_MEASURED
    late = stand(replace(good, copying=NOT_MEASURED, drilled=replace(good.drilled, rpo=9 * HOUR)))  # type: ignore[type-var]
    assert late.rpo.achievable is NOT_MEASURED and late.rpo.state is State.AT_RISK


attempts = st.lists(
    st.builds(
        attempt,
        st.floats(0, 60),
        st.sampled_from(Reach),
        passed=st.booleans(),
        scenario=st.sampled_from(["", "site-lost", "keys-lost"]),
        rto=st.one_of(st.just(NOT_MEASURED), st.floats(0, 1e6)),
    ),
    max_size=6,
)


@given(attempts)
def test_credit_is_never_given_over_a_failure_that_stands(several: list[Attempt]) -> None:
    credit = credit_of(several)
    assert (credit.drilled is None) == (credit_of(several[::-1]).drilled is None) and credit.why
    if credit.drilled is None:
        return
    [*sources] = [one for one in several if one.run == credit.drilled.drill and one.passed]
    assert any(one.rto == credit.drilled.seconds and one.reach not in ("tabletop", "simulation") for one in sources)
    last = max(several, key=lambda one: (one.at, one.run))
    assert last.passed or any(one.at == last.at and one.passed for one in several)
