"""What would help an asset: each effect by hand, nothing where a figure is missing, no price where nobody knows one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.objectives.changes import MONTH_SECONDS, Copy, Figures, changes_of
from holdfast.objectives.measured import NOT_MEASURED
from holdfast.objectives.standing import Change, Observed, State, stand

FIGURES = Figures(
    rpo=3600.0,
    rto=7200.0,
    interval=7200.0,
    copying=300.0,
    verifying=1800.0,
    planned=10_000.0,
    reading=9000.0,
    waiting=1000.0,
    fetch=80_000,
    verifying_rate=400.0,
    snapshot_price=0.01,
    reading_price=0.5,
    warmer="b/warm",
    warmer_price=12.0,
    copies=(Copy(store="c/warm", bytes_per_second=20.0, monthly=40.0), Copy(store="d/warm", bytes_per_second=1.0)),
)


def named(changes: tuple[Change, ...], words: str) -> Change:
    [found] = [one for one in changes if words in one.what]
    return found


def test_each_effect_by_hand() -> None:
    changes = changes_of(FIGURES)
    often = named(changes, "save every 13 min")
    assert often.rpo == pytest.approx(0.8 * 3600) and often.rto is None
    assert often.monthly == pytest.approx(0.01 * (MONTH_SECONDS / 780 - MONTH_SECONDS / 7200))
    sooner = next(one for one in changes if one.what.startswith("read each snapshot"))
    assert sooner.rpo == 7200 + 300 + 200 and sooner.monthly == pytest.approx(0.5 * MONTH_SECONDS / 7200)
    both = named(changes, ", and read it back")
    assert both.rpo == pytest.approx(2880) and both.monthly is not None and both.monthly > (often.monthly or 0)
    assert (named(changes, "b/warm").rto, named(changes, "b/warm").monthly) == (9000.0, 12.0)
    assert (named(changes, "c/warm").rto, named(changes, "c/warm").monthly) == (1000.0 + 4000.0, 40.0)
    assert not [one for one in changes if "d/warm" in one.what], "slower than now"
    assert (named(changes, "twice as fast").rto, named(changes, "twice as fast").monthly) == (6000.0, None)
    assert named(changes, "rehearse").rto == 10_000.0


def test_the_cheapest_that_reaches_it() -> None:
    observed = Observed(
        asset="x", at=1, rpo=3600.0, rto=7200.0, exposure=7000.0, interval=7200.0, copying=300.0, verifying=1800.0,
        planned=10_000.0, changes=changes_of(FIGURES),
    )  # fmt: skip
    stood = stand(observed)
    assert stood.rpo.state is State.BREACHED and stood.rpo.cheapest is not None
    assert stood.rpo.cheapest.what.startswith("save every 13 min")
    assert stood.rto.state is State.UNATTAINABLE and stood.rto.cheapest is not None
    assert "c/warm" in stood.rto.cheapest.what, "priced comes before what nobody priced"


@pytest.mark.parametrize("missing", ["interval", "copying", "planned"])
def test_nothing_is_invented(missing: str) -> None:
    changes = changes_of(msgspec.structs.replace(FIGURES, **{missing: NOT_MEASURED}))
    assert all((one.rto if missing == "planned" else one.rpo) is None for one in changes)


@given(st.sampled_from(["snapshot_price", "reading_price", "warmer_price"]))
def test_without_prices_there_is_none(missing: str) -> None:
    words = {"snapshot_price": "save every 13 min", "reading_price": "rehearse", "warmer_price": "b/warm"}[missing]
    assert named(changes_of(msgspec.structs.replace(FIGURES, **{missing: None})), words).monthly is None


@given(
    st.builds(
        Figures,
        rpo=st.none() | st.floats(1, 1e6),
        interval=st.floats(1, 1e6) | st.just(NOT_MEASURED),
        copying=st.floats(0, 1e6) | st.just(NOT_MEASURED),
        verifying=st.floats(0, 1e6) | st.just(NOT_MEASURED),
        planned=st.floats(0, 1e6) | st.just(NOT_MEASURED),
        reading=st.none() | st.floats(0, 1e6),
        fetch=st.none() | st.integers(0, 1 << 40),
        verifying_rate=st.none() | st.floats(1, 1e9),
        snapshot_price=st.none() | st.floats(0, 1e3),
        reading_price=st.none() | st.floats(0, 1e3),
    )
)
def test_whatever_was_measured(figures: Figures) -> None:
    for one in changes_of(figures):
        assert (one.rpo is None) != (one.rto is None) and (one.monthly is None or one.monthly >= 0)
        if one.what.startswith("save every") and figures.rpo is not None:
            assert one.rpo is not None and one.rpo <= figures.rpo
