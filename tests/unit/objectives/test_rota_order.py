"""The order of proving: what it depends on, and in which direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.objectives.rota import NEVER_SECONDS, Candidate, order, score

_WORTH = st.floats(0.001, 1e6)
_SECONDS = st.floats(0, NEVER_SECONDS)


def _one(name: str = "a", **facts: object) -> Candidate:
    return Candidate(snapshot=name, asset="run", **facts)  # type: ignore[arg-type]


@given(_WORTH, _WORTH, _SECONDS, _SECONDS, st.integers(1, 9), st.integers(1, 9))
def test_the_score_is_monotone(w1: float, w2: float, s1: float, s2: float, c1: int, c2: int) -> None:
    more = _one(worth=max(w1, w2), proven_seconds=max(s1, s2), copies=min(c1, c2))
    less = _one(worth=min(w1, w2), proven_seconds=min(s1, s2), copies=max(c1, c2))
    assert score(more) >= score(less)


def test_the_formula() -> None:
    assert score(_one(worth=3.0, proven_seconds=100.0, copies=2)) == 150.0
    assert score(_one(worth=2.0)) == 2.0 * NEVER_SECONDS
    assert score(_one(proven_seconds=-5.0)) == 0.0, "a clock that went back"


def test_the_order_and_its_reasons() -> None:
    hour = 3600.0
    found = order(
        [
            _one("1", proven_seconds=50 * hour),
            _one("2", proven_seconds=50 * hour, copies=2),
            _one("3", proven_seconds=30 * hour, worth=3.0),
            _one("4"),
            _one("5", proven_seconds=50 * hour),
        ]
    )
    assert [due.candidate.snapshot for due in found] == ["4", "3", "5", "1", "2"]
    assert found[0].reason == "never proven, 1 copy"
    assert found[1].reason == "proven 30 h ago, 1 copy, worth 3"
    assert found[4].reason == "proven 2 d ago, 2 copies"


@pytest.mark.parametrize("facts", [{"worth": -1.0}, {"worth": float("nan")}, {"copies": 0}])
def test_facts_that_cannot_be(facts: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        _one(**facts)
