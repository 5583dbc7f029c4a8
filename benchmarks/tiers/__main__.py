"""A simulated year of forty assets on three sites: `python -m benchmarks.tiers`.

Each scenario and strategy is a run of its own; what it found goes to benchmarks/results/tiers.json at once, so `--only`
can run them one by one. `--docs` draws the plots and writes docs/benchmarks/tiers.md from what is there. Exit code 1 if
the planner broke an objective, or saved less than 60 % of all-hot.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from holdfast.economics.book import PriceBook, load_list_prices
from holdfast.replication.tiering.facts import Tier

from .reporting import SAVED_AT_LEAST, saved, write_docs
from .simulating import STRATEGIES, Year

_CHECKOUT = Path(__file__).parents[2]
_RESULTS = _CHECKOUT / "benchmarks/results/tiers.json"
_SEED = 20_261
_COMPARED = ("all-hot", "planned")
SCENARIOS: dict[str, dict[str, Any]] = {
    "as stated": {},
    "reads and drills twice as often": {"reads": 2.0},
    "egress and retrieval twice as dear": {"moved": 2.0},
    "warm and cold storage twice as dear": {"stored": 2.0},
    "lines half as fast": {"lines": 0.5},
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for scenario, changes in SCENARIOS.items():
        for strategy in STRATEGIES if not changes else _COMPARED:
            name = f"{scenario}: {strategy}"
            if options.only and options.only not in name:
                continue
            began = time.process_time()
            results[name] = _run(options, strategy, **changes)
            options.results.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
            found = results[name]
            print(f"{name}: {found['total']:,.0f} a year, breaches {found['breaches']}, "
                  f"{time.process_time() - began:.0f} s of CPU")  # fmt: skip
    if options.docs:
        write_docs(results, _CHECKOUT / "docs/benchmarks")
    good = True
    for scenario in SCENARIOS:
        found = results.get(f"{scenario}: planned")
        part = saved(results, scenario)
        if found is not None and part is not None:
            good &= not found["breaches"] and part >= SAVED_AT_LEAST
            print(f"{scenario}: {part:.0%} less than all-hot; breaches: {found['breaches'] or 'none'}")
    return 0 if good else 1


def _run(
    options: argparse.Namespace,
    strategy: str,
    *,
    reads: float = 1.0,
    lines: float = 1.0,
    moved: float = 1.0,
    stored: float = 1.0,
) -> dict[str, Any]:
    book = _dearer(load_list_prices(), moved, stored)
    days, before = options.days, options.before
    weeks = range(before, before + days - 6, 7)
    year = Year(book, days=days, before=before, seed=_SEED, reads=reads, lines=lines, every=options.every)
    result = year.run(STRATEGIES[strategy])
    bills = result.bills
    return {
        "assets": len(year.members),
        "days": days,
        "prices": book.as_of,
        "currency": book.currency,
        "total": sum(bills.by_what.values()),
        "by_what": dict(sorted(bills.by_what.items())),
        "breaches": result.breaches,
        "breached": len(result.breached),
        "first_breach": result.first_breach,
        "checked": result.checked,
        "snapshots": result.snapshots,
        "moves": {str(verb): count for verb, count in result.moves.items()},
        "by_week": [sum(bills.by_day[day + one] for one in range(7)) for day in weeks],
        "terabytes_by_week": [{tier: round(bills.by_tier[day][tier] / 1e12, 2) for tier in Tier} for day in weeks],
    }


def _dearer(book: PriceBook, moved: float, stored: float) -> PriceBook:
    """The same book with other prices for what moves, or for what lies anywhere but on hot tiers."""
    replace = msgspec.structs.replace
    hot = ("aws/fsx-lustre-ssd-125", "gcp/pd-ssd", "azure/premium-block-blob")
    storage = tuple(
        replace(row, retrieval=row.retrieval * moved, storage=row.storage * (1 if row.name in hot else stored))
        for row in book.storage
    )
    return replace(
        book, storage=storage, transfer=tuple(replace(row, per_gb=row.per_gb * moved) for row in book.transfer)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiers", description="A simulated year of tiers.")
    parser.add_argument("--days", type=int, default=365, help="days that are billed and judged")
    parser.add_argument("--before", type=int, default=365, help="days before, which only fill the stores")
    parser.add_argument("--every", type=int, default=1, help="only each n-th asset, for a quick look")
    parser.add_argument("--only", default="", help="only runs whose name has this in it: `as stated: planned`")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--docs", action="store_true", help="draw the plots and write the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
