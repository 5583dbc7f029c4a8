"""What runs and drills are worth together: nobody gains by a drill that says nothing, or that nobody could read."""

from __future__ import annotations

from msgspec.structs import replace

from holdfast.control.evidencing.crediting import Drills
from holdfast.evidence.crediting import merged
from holdfast.objectives import NOT_MEASURED
from holdfast.objectives.credit import Attempt, Reach, credit_of

RUN = Attempt(asset="a", at=10, passed=True, reach=Reach.COMPONENT, scenario="", what="the run", run="r1", rto=5.0)
DRILL = replace(RUN, reach=Reach.FUNCTIONAL, scenario="site-lost", what="the drill", rto=9.0)


def test_a_run_that_was_a_drills_counts_once_and_by_the_drill() -> None:
    assert merged([RUN], [DRILL]) == [DRILL]
    assert merged([RUN], [replace(DRILL, passed=False)]) == [replace(DRILL, passed=False)]
    assert merged([RUN], [replace(DRILL, rto=NOT_MEASURED)]) == [replace(DRILL, rto=5.0)]
    assert merged([RUN], [], ["r1"]) == []


def test_an_asset_that_the_drill_left_out_gains_nothing_by_the_run() -> None:
    other = replace(RUN, asset="b")
    assert merged([RUN, other], [DRILL]) == [DRILL]
    failed = replace(other, passed=False)
    assert failed in merged([RUN, failed], [DRILL])


def test_what_cannot_be_read_gives_no_credit_and_takes_what_it_took() -> None:
    doubted = merged([RUN], [], (), ["r1"])
    credit = credit_of(doubted)
    assert credit.drilled is None and "its evidence cannot be read" in credit.why
    failed = replace(RUN, at=5, passed=False, run="r0")
    assert credit_of(merged([failed, RUN], [], (), ["r1"])).against == (failed,), "it makes no failure good either"
    assert credit_of(merged([replace(RUN, passed=False)], [], (), ["r1"])).against
    assert credit_of(merged([RUN], [], (), ["r2"])).drilled is not None


def test_where_no_store_answers_no_run_is_credited() -> None:
    credit = credit_of(Drills(unknown="no store answers").joined([RUN]))
    assert credit.drilled is None and "drills cannot be read" in credit.why
    assert credit_of(Drills().joined([RUN])).drilled is not None
