"""Having snapshots hot by a time, and what a small store at the recovery site holds."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.objectives.measured import NOT_MEASURED
from holdfast.replication.tiering.caching import choose_cache
from holdfast.replication.tiering.facts import DAY_NS, NANOSECONDS, Facts, Owed
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import Verb
from holdfast.replication.tiering.prewarming import plan_prewarm

sys.path.insert(0, str(Path(__file__).parent))
from tier_cases import NOW, asset, facts, snapshot

GB = 10**9
HOUR_NS = 3600 * NANOSECONDS
HOT = "euw4/hot"


def two() -> Facts:
    return facts(
        [asset()],
        [snapshot(1, ["use1/hot", "euw4/warm"], latest=True), snapshot(40, ["use1/warm", "euw4/cold"], validated=True)],
    )


def test_it_begins_as_late_as_is_early_enough() -> None:
    by = NOW + 6 * HOUR_NS
    plan = plan_prewarm(two(), ["day-1", "day-40"], HOT, by, 3600.0, "the drill")
    # 600 GB from euw4/warm at 1 GB/s and read back at 1 GB/s; then 200 GB, as the base is there
    assert [step.source for step in plan.steps] == ["euw4/warm", "euw4/cold"]
    assert [step.bytes for step in plan.steps] == [600 * GB, 200 * GB]
    assert [step.seconds for step in plan.steps] == [pytest.approx(1200.1), pytest.approx(400.1)]
    assert plan.start_ns == pytest.approx(by - 1600.2 * NANOSECONDS) and plan.in_time is True
    assert plan.steps[-1].ready_ns == pytest.approx(by, abs=10)
    assert all("in time" in step.text for step in plan.steps)
    raised = msgspec.structs.replace(two(), raised=plan.raised)
    copies = {(m.snapshot, m.store, m.source) for m in plan_tiers(raised).moves if m.verb is Verb.COPY}
    assert {("day-1", HOT, "euw4/warm"), ("day-40", HOT, "euw4/cold")} <= copies  # from where the time was counted
    later = msgspec.structs.replace(raised, now_ns=by + 3601 * NANOSECONDS)
    assert not [move for move in plan_tiers(later).moves if move.store == HOT]


def test_too_late_says_which_ones_are_in_time() -> None:
    plan = plan_prewarm(two(), ["day-1", "day-40"], HOT, NOW + 1300 * NANOSECONDS, 0, "a storm")
    assert plan.start_ns == NOW and plan.in_time is False
    assert [step.in_time for step in plan.steps] == [True, False] and "too late" in plan.steps[1].text


def test_nothing_is_promised_where_nothing_was_measured() -> None:
    given_ = two()
    slow = tuple(rate for rate in given_.rates if rate.store != HOT)
    plan = plan_prewarm(msgspec.structs.replace(given_, rates=slow), ["day-1"], HOT, NOW + DAY_NS, 0, "a storm")
    assert plan.in_time is NOT_MEASURED and plan.start_ns == NOW
    assert plan.steps[0].ready_ns is None and "NOT_MEASURED" in plan.steps[0].text and plan.raised


def test_what_is_there_takes_no_time_and_what_does_not_fit_is_said() -> None:
    there = facts([asset()], [snapshot(1, ["use1/hot", HOT])])
    assert plan_prewarm(there, ["day-1"], HOT, NOW + DAY_NS, 0, "x").start_ns == NOW + DAY_NS
    stores = tuple(
        msgspec.structs.replace(one, capacity_bytes=700 * GB) if one.name == HOT else one for one in two().stores
    )
    plan = plan_prewarm(msgspec.structs.replace(two(), stores=stores), ["day-1", "day-40"], HOT, NOW + DAY_NS, 0, "x")
    assert list(plan.left_out) == ["day-40"] and plan.in_time is False


def test_refusals() -> None:
    abroad = facts([asset(owed=Owed(name="eu", rto_seconds=9e4, not_in=frozenset({"EU"})))], two().snapshots)
    with pytest.raises(RefusedError, match="must not be raised to euw4/hot: that is in EU"):
        plan_prewarm(abroad, ["day-1"], HOT, NOW + DAY_NS, 0, "x")
    for bad in (lambda: plan_prewarm(two(), ["none"], HOT, NOW, 0, "x"), lambda: choose_cache(two(), "moon/hot", NOW)):
        with pytest.raises(NotFoundError):
            bad()
    with pytest.raises(NotFoundError):
        plan_prewarm(two(), ["day-1"], "moon/hot", NOW, 0, "x")
    with pytest.raises(UsageError):
        plan_prewarm(two(), ["day-1"], HOT, NOW, -1, "x")


def cached() -> Facts:
    """Three assets at use1; machines at euw4 as well. `urgent` cannot be restored there in time from where it lies."""
    urgent = Owed(name="inference", rto_seconds=900.0)
    assets = [
        asset(name="urgent", owed=urgent, sites=("use1",)),
        asset(name="large", sites=("use1",)),
        asset(name="local", sites=("use1",), recover_at=("use1",)),
        asset(name="llama", sites=("use1",)),
    ]
    snapshots = [
        snapshot(1, ["use1/hot"], "u", id="u", asset="urgent", validated=True, fetch_bytes=250 * GB, bytes=250 * GB),
        snapshot(1, ["use1/hot"], "base-l", "l", id="l", asset="large", validated=True),
        snapshot(1, ["use1/hot"], "x", id="x", asset="local", validated=True),
        snapshot(1, ["use1/hot"], "base-a", "a1", id="a1", validated=True),
        snapshot(0.5, ["use1/hot"], "base-a", "a2", id="a2", latest=True),
        snapshot(9, [HOT, "use1/hot"], "base-a", "a0", id="a0"),
    ]
    return facts(assets, snapshots)


def test_the_cache_holds_first_what_cannot_be_had_in_time_without_it() -> None:
    choice = choose_cache(cached(), HOT, NOW + DAY_NS)
    assert set(choice.hold) == {"u", "l", "a1", "a2"} and choice.leaving == ("a0",)
    assert next(iter(choice.hold)) == "u" and "longer than" in choice.hold["u"] and "faster" in choice.hold["l"]
    assert choice.bytes == (200 + 600 + 800) * GB  # a base that two share counts once
    small = choose_cache(cached(), HOT, NOW + DAY_NS, capacity_bytes=1000 * GB)
    assert set(small.hold) == {"u", "l"} and "do not fit" in small.left_out["a1"]
    tiny = choose_cache(cached(), HOT, NOW + DAY_NS, capacity_bytes=300 * GB)
    assert set(tiny.hold) == {"u"} and tiny.bytes == 200 * GB
    copies = {
        m.snapshot for m in plan_tiers(msgspec.structs.replace(cached(), raised=tiny.raised)).moves if m.store == HOT
    }
    assert "u" in copies and "l" not in copies


@given(st.integers(0, 2000))
def test_the_cache_never_holds_more_than_it_may(size: int) -> None:
    choice = choose_cache(cached(), HOT, NOW, capacity_bytes=size * GB)
    packs = {pack for one in cached().snapshots if one.id in choice.hold for pack in one.packs}
    assert sum(cached().packs[pack] for pack in packs) == choice.bytes <= size * GB


def two_cached() -> Facts:
    """Two assets of the same size at use1, whose restores at euw4 are in time from there as well."""
    assets = [asset(name="often", sites=("use1",)), asset(name="never", sites=("use1",))]
    snapshots = [
        snapshot(1, ["use1/hot"], "p", id="often", asset="often", validated=True),
        snapshot(1, ["use1/hot"], "q", id="never", asset="never", validated=True),
        snapshot(20, ["use1/hot"], "r", id="old", asset="often"),
    ]
    return facts(assets, snapshots)


def test_what_is_read_often_is_worth_more_and_old_ones_count_only_when_they_are_read() -> None:
    given_ = two_cached()
    plain = choose_cache(given_, HOT, NOW + DAY_NS, capacity_bytes=200 * GB)
    assert set(plain.hold) == {"never"}  # of equal worth, by name
    reads = {"often": [NOW - DAY_NS, NOW - 2 * DAY_NS], "old": [NOW - 40 * DAY_NS]}
    often = choose_cache(given_, HOT, NOW + DAY_NS, capacity_bytes=200 * GB, reads=reads)
    assert set(often.hold) == {"often"} and "read 2 times lately" in often.hold["often"]
    old = choose_cache(given_, HOT, NOW + DAY_NS, reads=reads | {"old": [NOW - DAY_NS]})
    assert set(old.hold) == {"often", "never", "old"}


def test_egress_counts_where_time_does_not() -> None:
    given_ = two_cached()
    free = choose_cache(given_, HOT, NOW + DAY_NS, hour_price=0.0)
    assert set(free.hold) == {"often", "never"} and "cheaper" in free.hold["often"]
    near = facts(
        [asset(name="often", sites=("euw4", "use1"))],
        [snapshot(1, ["euw4/warm"], "p", id="often", asset="often", validated=True)],
    )
    far = choose_cache(given_, HOT, NOW + DAY_NS, hour_price=0.0).hold["often"]
    assert "USD 41.91" in far  # 500 GB at 0.09 for 2^30 bytes, and requests
    assert "USD 0.0" in choose_cache(near, HOT, NOW + DAY_NS, hour_price=0.0).hold["often"]  # requests alone


def test_what_a_jurisdiction_forbids_is_no_candidate_and_has_to_leave() -> None:
    given_ = two_cached()
    bound = msgspec.structs.replace(given_.assets[0], owed=Owed(name="us", rto_seconds=9e4, not_in=frozenset({"EU"})))
    there = msgspec.structs.replace(
        given_,
        assets=(bound, given_.assets[1]),
        snapshots=(
            snapshot(1, [HOT, "use1/hot"], "p", id="often", asset="often", validated=True),
            *given_.snapshots[1:],
        ),
    )
    choice = choose_cache(there, HOT, NOW + DAY_NS)
    assert set(choice.hold) == {"never"} and choice.leaving == ("often",)
    assert choice.left_out["often"] == "class us must not lie in EU"
    assert not [one for one in choice.raised if one.snapshot == "often"]
