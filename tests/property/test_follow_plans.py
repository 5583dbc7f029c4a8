"""Rounds over any state of the stores: what is planned is needed, possible and said once; exposure is never too low."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import StoreUnreachableError
from holdfast.replication.following.exposing import Protection, exposures
from holdfast.replication.following.routes import (
    RoundPlan,
    Route,
    plan_round,
    site_view,
    wanted_snapshots,
    watermark,
)
from holdfast.replication.following.views import View
from holdfast.vault.format.records import Root, Validation

SITES = ("a", "b", "c", "d")
STORES = tuple(f"{site}/warm" for site in SITES)
NOW = 10_000


@functools.cache
def root(number: int) -> Root:
    verdict = "quarantined" if number == 7 else "sound"
    return Root(
        id=f"s{number}",
        asset="x",
        created=number * 100,
        content=number * 100,
        step=None,
        parents=[],
        writer="w",
        source="file",
        name="n",
        parts=[],
        meta={},
        versions={},
        stats={"stored": number},
        validation=Validation("warn", verdict, [], []),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Route], dict[str, View]]:
    views = {}
    for site, name in zip(SITES, STORES, strict=True):
        if draw(st.integers(0, 4)) == 0:
            views[name] = View(name, site, StoreUnreachableError("away"), {}, {})
            continue
        there = draw(st.sets(st.integers(1, 8)))
        verified = draw(st.sets(st.sampled_from(sorted(there)))) if there else set()
        views[name] = View(name, site, None, {"x": {f"s{n}": root(n) for n in there}}, {f"s{n}": 1 for n in verified})
    order = draw(st.permutations(STORES))
    cut = draw(st.integers(1, 4))
    givers = tuple(order[cut:]) if draw(st.booleans()) else ()
    return [Route("x", order[0], tuple(order[1:cut]), draw(st.integers(0, 9)), givers=givers)], views


@given(worlds())
def test_a_plan_is_needed_possible_and_said_once(world: tuple[list[Route], dict[str, View]]) -> None:
    [route], views = world
    plan = plan_round([route], views)
    told: set[tuple[str, str]] = set()
    wanted = wanted_snapshots(route, views)
    for copy in plan.copies:
        assert copy.target in route.targets
        assert views[copy.target].answered
        assert copy.sources
        assert copy.target not in copy.sources
        for source in copy.sources:
            assert views[source].answered
            assert set(copy.snapshots) <= views[source].of("x").keys()
        for snapshot in copy.snapshots:
            assert snapshot not in views[copy.target].of("x")
            assert (copy.target, snapshot) not in told
            told.add((copy.target, snapshot))
        contents = [wanted[snapshot].content for snapshot in copy.snapshots]
        assert contents == sorted(contents, reverse=True)
    for name in route.targets:  # nothing that is wanted and could be copied is left out
        lacking = wanted.keys() - views[name].of("x").keys()
        assert not views[name].answered or {(name, one) for one in lacking} <= told


@given(worlds())
def test_after_the_plan_everything_is_everywhere(world: tuple[list[Route], dict[str, View]]) -> None:
    [route], views = world
    wanted = wanted_snapshots(route, views)
    after = {
        name: view._replace(roots={"x": {**view.of("x"), **wanted}})
        if name in route.targets and view.answered
        else view
        for name, view in views.items()
    }
    assert plan_round([route], after).copies == ()
    for name in route.targets:
        if views[name].answered and wanted:
            assert watermark(route, after[name], wanted) == max(one.content for one in wanted.values())


@given(worlds(), st.sampled_from(STORES))
def test_exposure_never_counts_what_may_be_lost(world: tuple[list[Route], dict[str, View]], cut: str) -> None:
    [route], views = world
    before = {one.site: one for one in exposures([route], views, NOW)}
    for site, one in before.items():
        survivors = [views[name] for name in route.stores if views[name].site != site and views[name].answered]
        proven = [
            root.content
            for view in survivors
            for key, root in view.of("x").items()
            if key in view.verified and key != "s7"
        ]
        assert (one.protection is Protection.VERIFIED) == bool(proven)
        if proven:
            assert one.seconds == (NOW - max(proven)) / 1e9
    away = {**views, cut: View(cut, views[cut].site, StoreUnreachableError("cut"), {}, {})}
    for site, one in {each.site: each for each in exposures([route], away, NOW)}.items():
        earlier = before[site].seconds
        assert one.seconds is None or (earlier is not None and one.seconds >= earlier)


@st.composite
def tiered_worlds(draw: st.DrawFn) -> tuple[list[Route], dict[str, View]]:
    """Some sites have a cold store, too, and some of these do not answer."""
    [route], views = draw(worlds())
    others = []
    for site in SITES:
        if not draw(st.booleans()):
            continue
        name = f"{site}/cold"
        others.append(name)
        if draw(st.integers(0, 3)) == 0:
            views[name] = View(name, site, StoreUnreachableError("away"), {}, {})
        else:
            there = draw(st.sets(st.integers(1, 8)))
            verified = draw(st.sets(st.sampled_from(sorted(there)))) if there else set()
            roots = {"x": {f"s{n}": root(n) for n in there}}
            views[name] = View(name, site, None, roots, {f"s{n}": 1 for n in verified})
    return [route._replace(others=tuple(others))], views


def _at_site(name: str, views: dict[str, View]) -> list[View]:
    site = views[name].site
    return [views[one] for one in (name, f"{site}/cold") if one in views]


@given(tiered_worlds())
def test_a_round_brings_nothing_back_that_another_tier_has(world: tuple[list[Route], dict[str, View]]) -> None:
    [route], views = world
    plan = plan_round([route], views)
    wanted = wanted_snapshots(route, views)
    if views[route.home].answered:
        assert wanted.keys() == {one for view in _at_site(route.home, views) for one in view.of("x")}
    told = {(copy.target, snapshot) for copy in plan.copies for snapshot in copy.snapshots}
    for copy in plan.copies:
        assert copy.target in route.targets  # a tier never gets anything from a round
        assert copy.sources
        colds = [name.endswith("/cold") for name in copy.sources]
        assert colds == sorted(colds)  # what answers late is asked last
        for source in copy.sources:
            assert set(copy.snapshots) <= views[source].of("x").keys()
    for name in route.targets:
        if not views[name].answered:
            continue
        there = {one: found for view in _at_site(name, views) for one, found in view.of("x").items()}
        lacking = wanted.keys() - there.keys()
        sent = {snapshot for target, snapshot in told if target == name}
        assert sent <= lacking
        if all(view.answered for view in _at_site(name, views)):
            assert sent == lacking
            continue
        newer = {one for one in lacking if not there or wanted[one].content > max(r.content for r in there.values())}
        assert sent == (newer if there else set(sorted(newer, key=lambda one: wanted[one].content)[-1:]))
        assert any("cold does not answer" in text for text in plan.stuck)


@given(tiered_worlds())
def test_moving_between_tiers_of_a_site_changes_no_plan(world: tuple[list[Route], dict[str, View]]) -> None:
    [route], views = world
    if not all(view.answered for name in route.stores for view in _at_site(name, views)):
        return
    moved = dict(views)
    for name in route.landing:
        here = _at_site(name, views)
        if len(here) < 2:
            continue
        merged = {one: found for view in here for one, found in view.of("x").items()}
        old = {one: found for one, found in merged.items() if found.content < 500}
        moved[name] = here[0]._replace(roots={"x": {one: merged[one] for one in merged.keys() - old.keys()}})
        moved[here[1].name] = here[1]._replace(roots={"x": old})

    def sent(plan: RoundPlan) -> set[tuple[str, str]]:
        return {(copy.target, one) for copy in plan.copies for one in copy.snapshots}

    assert sent(plan_round([route], moved)) == sent(plan_round([route], views))
    for name in route.landing:
        before, after = site_view(route, name, views), site_view(route, name, moved)
        assert before.of("x").keys() == after.of("x").keys()
