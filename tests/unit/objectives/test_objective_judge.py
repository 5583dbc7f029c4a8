"""Verdicts: met only when measured, possible, and within the target."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.objectives import (
    NOT_MEASURED,
    AssetClass,
    Judgement,
    Measured,
    NotMeasured,
    Split,
    State,
    Verdict,
    judge,
    objective_of,
    rpo_seconds,
    split_between,
    worst,
)

SECOND = 1_000_000_000
FAULT = 1_790_000_000 * SECOND
TRAINING = objective_of(AssetClass.TRAINING)
SPLIT = Split(detect=1.0, decide=0.5, execute=2.0, verify=0.5)


def measured(age_seconds: float, **changes: object) -> Measured:
    facts = Measured(
        fault_ns=FAULT,
        content_ns=FAULT - round(age_seconds * SECOND),
        restored=True,
        verified=True,
        split=SPLIT,
        copies=2,
    )
    return msgspec.structs.replace(facts, **changes)


def test_everything_within_its_target_is_met() -> None:
    verdict = judge(TRAINING, measured(1.9))
    assert (verdict.rpo.measured, verdict.rto.measured, verdict.copies.measured) == (1.9, 4.0, 2.0)
    assert verdict.state is State.MET


def test_exactly_the_target_is_met() -> None:
    assert judge(TRAINING, measured(7200.0)).rpo.state is State.MET


def test_beyond_the_target_is_missed_and_says_whether_it_is_survivable() -> None:
    tolerated, lost = judge(TRAINING, measured(7201.0)).rpo, judge(TRAINING, measured(14401.0)).rpo
    assert (tolerated.state, tolerated.tolerated) == (State.MISSED, True)
    assert (lost.state, lost.tolerated) == (State.MISSED, False)


def test_too_few_copies_are_missed() -> None:
    verdict = judge(TRAINING, measured(1.0, copies=1))
    assert verdict.copies.state is State.MISSED
    assert verdict.state is State.MISSED


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"restored": False}, "no snapshot was restored"),
        ({"content_ns": NOT_MEASURED}, "no snapshot was restored"),
        ({"verified": False}, "not verified"),
        ({"fault_ns": NOT_MEASURED}, "time of the fault"),
    ],
)
def test_an_rpo_counts_only_from_a_snapshot_that_was_restored_and_verified(
    changes: dict[str, object], why: str
) -> None:
    judgement = judge(TRAINING, measured(1.0, **changes)).rpo
    assert judgement.state is State.NOT_MEASURED
    assert judgement.measured is NOT_MEASURED
    assert why in judgement.reason


def test_content_newer_than_the_fault_is_invalid() -> None:
    judgement = judge(TRAINING, measured(-2.0)).rpo
    assert judgement.state is State.INVALID
    assert "clocks disagree" in judgement.reason


def test_a_change_after_the_fault_is_invalid() -> None:
    assert judge(TRAINING, measured(5.0, last_change_ns=FAULT + SECOND)).rpo.state is State.INVALID


def test_a_snapshot_that_has_the_last_change_lost_nothing() -> None:
    weights = objective_of(AssetClass.WEIGHTS)
    assert judge(weights, measured(500.0)).rpo.state is State.MISSED
    assert judge(weights, measured(500.0, last_change_ns=FAULT - 600 * SECOND)).rpo.state is State.MET
    assert judge(weights, measured(500.0, last_change_ns=FAULT - 400 * SECOND)).rpo.measured == 500.0


def test_a_missing_part_leaves_the_rto_unmeasured_and_is_named() -> None:
    judgement = judge(TRAINING, measured(1.0, split=Split(detect=1.0, decide=1.0, execute=1.0))).rto
    assert judgement.state is State.NOT_MEASURED
    assert "verify" in judgement.reason


@pytest.mark.parametrize("value", [-0.001, math.nan, math.inf])
def test_a_part_that_cannot_be_makes_the_rto_invalid(value: float) -> None:
    judgement = judge(TRAINING, measured(1.0, split=msgspec.structs.replace(SPLIT, execute=value))).rto
    assert judgement.state is State.INVALID
    assert "'execute'" in judgement.reason


def test_parts_that_overflow_together_make_the_rto_invalid() -> None:
    split = Split(detect=1.7e308, decide=1.7e308, execute=0.0, verify=0.0)
    assert judge(TRAINING, measured(1.0, split=split)).rto.state is State.INVALID


def test_a_negative_number_of_copies_is_invalid() -> None:
    assert judge(TRAINING, measured(1.0, copies=-1)).copies.state is State.INVALID


def test_a_class_without_targets_meets_nothing() -> None:
    verdict = judge(objective_of(AssetClass.REGULATED), measured(0.0))
    assert {verdict.rpo.state, verdict.rto.state, verdict.copies.state} == {State.INVALID}
    assert "from a rule" in verdict.rpo.reason


def test_nothing_measured_is_never_green() -> None:
    for asset_class in AssetClass:
        verdict = judge(objective_of(asset_class), Measured())
        assert {verdict.rpo.state, verdict.rto.state, verdict.copies.state} == {State.NOT_MEASURED}


def test_the_worst_state_wins() -> None:
    assert worst([State.MET, State.NOT_MEASURED]) is State.NOT_MEASURED
    assert worst([State.NOT_MEASURED, State.MISSED, State.MET]) is State.MISSED
    assert worst([State.MISSED, State.INVALID]) is State.INVALID
    assert worst([]) is State.NOT_MEASURED


def test_a_split_between_moments_has_only_the_parts_whose_ends_are_known() -> None:
    split = split_between(fault=10.0, detected=11.0, decided=None, executed=14.0, verified=14.5)
    assert split == Split(detect=1.0, decide=NOT_MEASURED, execute=NOT_MEASURED, verify=0.5)
    assert split.total is NOT_MEASURED


numbers = st.one_of(st.just(NOT_MEASURED), st.floats(allow_nan=True, allow_infinity=True))
times = st.one_of(st.just(NOT_MEASURED), st.integers(FAULT - 10**14, FAULT + 10**14))
facts = st.builds(
    Measured,
    fault_ns=times,
    content_ns=times,
    last_change_ns=times,
    restored=st.booleans(),
    verified=st.booleans(),
    split=st.builds(Split, detect=numbers, decide=numbers, execute=numbers, verify=numbers),
    copies=st.one_of(st.just(NOT_MEASURED), st.integers(-3, 5)),
)


@given(st.sampled_from(list(AssetClass)), facts)
def test_met_is_always_earned(asset_class: AssetClass, given_facts: Measured) -> None:
    objective = objective_of(asset_class)
    verdict = judge(objective, given_facts)
    for judgement in (verdict.rpo, verdict.rto):
        if judgement.state is State.MET:
            assert not isinstance(judgement.measured, NotMeasured)
            assert judgement.target is not None
            assert 0 <= judgement.measured <= judgement.target
    if verdict.rpo.state is State.MET:
        assert given_facts.restored and given_facts.verified
        assert verdict.rpo.measured == rpo_seconds(given_facts)
    if verdict.copies.state is State.MET:
        assert not isinstance(given_facts.copies, NotMeasured)
        assert given_facts.copies >= (objective.copies or 0) > 0


@given(st.sampled_from(list(AssetClass)), facts)
def test_a_verdict_survives_json(asset_class: AssetClass, given_facts: Measured) -> None:
    verdict = judge(objective_of(asset_class), given_facts)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_judgement_tells_its_reason_in_a_sentence() -> None:
    verdict = judge(TRAINING, measured(1.9))
    judgements: list[Judgement] = [verdict.rpo, verdict.rto, verdict.copies]
    assert all(judgement.reason.endswith(".") for judgement in judgements)
    assert "1.9 s" in verdict.rpo.reason
    assert "2 h 00 min" in verdict.rpo.reason
