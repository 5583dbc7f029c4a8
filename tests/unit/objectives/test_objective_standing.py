"""How an asset stands: each state with its reason, credit that ends, exclusions that gain nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.clock import NANOSECONDS
from holdfast.errors import UsageError
from holdfast.objectives.measured import NOT_MEASURED
from holdfast.objectives.standing import (
    Change,
    Drilled,
    Exclusion,
    Observed,
    State,
    stand,
    worst_state,
)

NOW = 1_795_000_000 * NANOSECONDS
DAY = 86400
HOUR = 3600.0
GOOD = Observed(
    asset="llama",
    at=NOW,
    rpo=2 * HOUR,
    rto=4 * HOUR,
    exposure=0.5 * HOUR,
    interval=0.5 * HOUR,
    copying=300.0,
    verifying=60.0,
    drilled=Drilled(seconds=HOUR, at=NOW - 3 * DAY * NANOSECONDS),
    planned=HOUR,
)


def test_met() -> None:
    standing = stand(GOOD)
    assert standing.state is State.MET
    assert standing.rpo.achievable == 0.5 * HOUR + 360
    assert standing.rpo.reason == "the RPO is 30 min 00 s; 2 h 00 min is allowed"


@pytest.mark.parametrize(
    ("changes", "rpo", "rto", "words"),
    [
        ({"exposure": 3 * HOUR}, State.BREACHED, State.MET, "3 h 00 min now"),
        ({"exposure": 1.9 * HOUR}, State.AT_RISK, State.MET, "of 2 h 00 min are used up"),
        ({"exposure": NOT_MEASURED}, State.NOT_MEASURED, State.MET, "no snapshot was read back"),
        ({"interval": 3 * HOUR}, State.UNATTAINABLE, State.MET, "interval 3 h 00 min + copying"),
        ({"interval": 1.8 * HOUR}, State.AT_RISK, State.MET, "the best of the present set-up"),
        ({"copying": NOT_MEASURED}, State.AT_RISK, State.MET, "not measured: copying"),
        ({"rpo": None}, State.NOT_MEASURED, State.MET, "from a rule, and none was set"),
        ({"drilled": None}, State.MET, State.NOT_MEASURED, "not even in a drill"),
        ({"drilled": Drilled(seconds=5 * HOUR, at=NOW)}, State.MET, State.BREACHED, "5 h 00 min now"),
        ({"drilled": Drilled(seconds=3.9 * HOUR, at=NOW)}, State.MET, State.AT_RISK, "are used up"),
        ({"planned": 5 * HOUR}, State.MET, State.UNATTAINABLE, "as a plan of today estimates"),
        ({"planned": NOT_MEASURED}, State.MET, State.AT_RISK, "no plan of today has an estimate"),
    ],
)
def test_states(changes: dict[str, object], rpo: State, rto: State, words: str) -> None:
    standing = stand(replace(GOOD, **changes))
    assert (standing.rpo.state, standing.rto.state) == (rpo, rto)
    assert words in standing.rpo.reason + standing.rto.reason
    assert standing.state is worst_state([rpo, rto])


@pytest.mark.parametrize(
    ("days", "state"), [(22, State.MET), (24, State.AT_RISK), (30, State.AT_RISK), (31, State.NOT_MEASURED)]
)
def test_the_credit_of_a_drill_ends_after_30_days(days: int, state: State) -> None:
    drilled = Drilled(seconds=HOUR, at=NOW - days * DAY * NANOSECONDS)
    assert stand(replace(GOOD, drilled=drilled)).rto.state is state


def test_a_drill_of_the_future_counts_for_nothing() -> None:
    drilled = Drilled(seconds=HOUR, at=NOW + DAY * NANOSECONDS)
    assert stand(replace(GOOD, drilled=drilled)).rto.state is State.NOT_MEASURED


def test_the_cheapest_change_that_meets_it() -> None:
    changes = (
        Change(what="save each hour", rpo=1.2 * HOUR, monthly=40.0),
        Change(what="save each two hours", rpo=2.2 * HOUR, monthly=10.0),
        Change(what="a synchronous copy", rpo=0.0),
        Change(what="a warm standby", rto=HOUR, monthly=9000.0),
        Change(what="a faster line", rpo=1.9 * HOUR, rto=3 * HOUR, monthly=300.0),
    )
    standing = stand(replace(GOOD, interval=3 * HOUR, planned=6 * HOUR, changes=changes))
    assert standing.rpo.cheapest is not None and standing.rpo.cheapest.what == "save each hour"
    assert standing.rto.cheapest is not None and standing.rto.cheapest.what == "a faster line"
    assert stand(replace(GOOD, changes=changes)).rpo.cheapest is None, "nothing has to be changed"
    unpriced = stand(replace(GOOD, interval=3 * HOUR, changes=changes[1:3]))
    assert unpriced.rpo.cheapest is not None and unpriced.rpo.cheapest.what == "a synchronous copy"


def test_exclusions_gain_nothing() -> None:
    exclusion = Exclusion(reason="it is rebuilt", owner="ada", until=NOW + DAY * NANOSECONDS)
    missed = replace(GOOD, exposure=9 * HOUR, exclusion=exclusion)
    assert stand(missed).state is State.BREACHED
    assert "ada: it is rebuilt" in stand(missed).excluded
    assert "ended" in stand(replace(missed, at=NOW + 2 * DAY * NANOSECONDS)).excluded
    for broken in ({"reason": " "}, {"owner": ""}):
        with pytest.raises(UsageError):
            Exclusion(**{"reason": "x", "owner": "x", "until": 0} | broken)


seconds = st.one_of(st.just(NOT_MEASURED), st.floats(0, 1e6))


@given(seconds, seconds, seconds, seconds, st.floats(0, 1e6), seconds, st.floats(0, 1e6))
def test_green_is_never_given_away(
    exposure: object, interval: object, copying: object, verifying: object, rpo: float, planned: object, rto: float
) -> None:
    observed = replace(
        GOOD,
        exposure=exposure,
        interval=interval,
        copying=copying,
        verifying=verifying,
        rpo=rpo,
        planned=planned,
        rto=rto,
    )
    standing = stand(observed)
    for target, value in ((standing.rpo, exposure), (standing.rto, HOUR)):
        assert target.reason
        if target.state in (State.MET, State.AT_RISK):
            assert isinstance(value, float) and target.target is not None and value <= target.target
            assert target.achievable is NOT_MEASURED or target.achievable <= target.target
        if target.state is State.MET:
            assert target.achievable is not NOT_MEASURED
