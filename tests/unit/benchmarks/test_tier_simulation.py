"""The simulated year in small: what the planner owes it keeps, and the checker sees who does not; the page is what was
measured.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.tiers.__main__ import SCENARIOS
from benchmarks.tiers.reporting import SAVED_AT_LEAST, page, saved
from benchmarks.tiers.simulating import STRATEGIES, Result, Year
from benchmarks.tiers.workload import KINDS, members

from holdfast.economics.book import load_list_prices
from holdfast.replication.tiering.facts import Rules

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def short() -> dict[str, Result]:
    year = Year(load_list_prices(), days=30, before=45, seed=5, every=6)
    return {name: year.run(STRATEGIES[name]) for name in ("all-hot", "by age", "planned")}


def test_forty_assets() -> None:
    assert len(members(Rules())) == 40
    assert {kind.asset_class for kind in KINDS} >= {"weights", "training", "dataset", "registry", "inference"}


def test_the_planner_keeps_what_is_owed_and_moves(short: dict[str, Result]) -> None:
    planned = short["planned"]
    assert planned.breaches == {} and planned.checked > 1000
    assert planned.moves["copy"] > 50 and planned.moves["drop"] > 50
    cost = {name: sum(one.bills.by_what.values()) for name, one in short.items()}
    assert cost["planned"] < cost["all-hot"]
    hot = {name: one.bills.by_what["storage hot"] for name, one in short.items()}
    assert hot["planned"] < 0.5 * hot["all-hot"]


def test_the_checker_sees_what_rules_by_age_break(short: dict[str, Result]) -> None:
    assert short["by age"].breaches["rto"] > 100 and "use1/cold" in short["by age"].first_breach


def test_the_page_is_what_was_measured() -> None:
    results = json.loads((ROOT / "benchmarks/results/tiers.json").read_text())
    assert page(results) == (ROOT / "docs/benchmarks/tiers.md").read_text()
    for scenario in SCENARIOS:
        part = saved(results, scenario)
        assert part is not None and part >= SAVED_AT_LEAST
        assert results[f"{scenario}: planned"]["breaches"] == {}
    assert results["as stated: planned"]["assets"] == 40 and results["as stated: planned"]["days"] == 365
