"""What the planner makes of each case, as a table that was read by eye: `tier_tables.txt`.

After a change that is meant, `TIER_TABLES=write pytest tests/unit/tiering/test_tier_tables.py` writes it anew; its diff
is the review.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from holdfast.errors import UsageError
from holdfast.replication.tiering.costing import cost_of_plan
from holdfast.replication.tiering.facts import Facts
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import explain

sys.path.insert(0, str(Path(__file__).parent))
from tier_cases import CASES, asset, facts, snapshot

_TABLES = Path(__file__).with_name("tier_tables.txt")


def table(name: str, given: Facts) -> str:
    plan = plan_tiers(given)
    lines = [f"## {name}", ""]
    for one in sorted(given.snapshots, key=lambda one: (one.asset, -one.time_ns, one.id)):
        decision = plan.decision(one.id)
        lines.append(f"  {one.id} ({one.asset}) at {', '.join(sorted(one.at))}")
        if decision is None:
            continue
        wanted = ", ".join(sorted(decision.wanted))
        lines.append(f"      {decision.tier}, wanted at {wanted}")
        lines += [f"      -> {move.verb} {move.source or ''}{'>' if move.source else ''}{move.store}"
                  f" [{move.bytes / 1e9:g} GB{'; needs ' + ' '.join(move.needs) if move.needs else ''}]: {move.reason}"
                  for move in decision.moves]  # fmt: skip
        lines += [f"      .. {text}" for text in decision.held]
        lines += [f"      !! {text}" for text in decision.problems]
    lines += [f"  refused {one.asset}: {one.reason}" for one in plan.refused]
    lines += [f"  note: {text}" for text in plan.notes]
    cost = cost_of_plan(given, plan)
    sums = [f"{one.currency} {one.total:.2f}" for one in (cost.before, cost.after, cost.once)]
    lines += ["  a month before {}, after {}; once {}".format(*sums), ""]
    return "\n".join(lines)


@pytest.mark.parametrize("name", CASES)
def test_the_moves_are_those_that_were_reviewed(name: str) -> None:
    found = table(name, CASES[name]())
    if os.environ.get("TIER_TABLES") == "write":
        tables = {case: table(case, make()) for case, make in CASES.items()}
        _TABLES.write_text("\n".join(tables.values()))
    assert found in _TABLES.read_text()


def test_the_file_has_no_other_tables() -> None:
    headings = [line for line in _TABLES.read_text().splitlines() if line.startswith("## ")]
    assert headings == [f"## {name}" for name in CASES]


def test_each_decision_is_explained_in_sentences() -> None:
    plan = plan_tiers(CASES["a tag, a hold and `validated` keep a snapshot where they point to it"]())
    held = plan.decision("day-40")
    assert held is not None
    text = " ".join(explain(held))
    assert "Not done: it does not leave use1/hot: tag release." in text
    assert "Move: copy day-40 of 'llama' from use1/hot to use1/warm" in text
    lying = plan.decision("day-1")
    assert lying is not None and "Nothing moves: it lies at euw4/warm, use1/hot." in explain(lying)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"assets": (asset(), asset())}, "two facts about asset"),
        ({"assets": (asset(sites=("use1", "moon")),)}, "'moon', which is not among the facts"),
        ({"assets": (asset(sites=()),)}, "names no site"),
        ({"packs": {}}, "size of a pack of snapshot day-1"),
        ({"snapshots": (snapshot(1, ["nowhere/hot"]),)}, "'nowhere/hot'"),
        ({"snapshots": (snapshot(1, ["use1/hot"]), snapshot(1, ["use1/hot"]))}, "occurs twice"),
    ],
)
def test_facts_that_contradict_themselves_plan_nothing(change: dict[str, object], words: str) -> None:
    import msgspec

    given = msgspec.structs.replace(facts([asset()], [snapshot(1, ["use1/hot"])]), **change)
    with pytest.raises(UsageError, match=words):
        plan_tiers(given)
