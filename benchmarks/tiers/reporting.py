"""The page and the plots of the simulated year."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["SAVED_AT_LEAST", "saved", "page", "write_docs"]

SAVED_AT_LEAST = 0.6
Results = dict[str, Any]
_COLOURS = {"all-hot": "#c44536", "all-warm": "#9aa5b1", "by age": "#d9a441", "planned": "#0b6e4f"}
_TIERS = {"hot": "#c44536", "warm": "#d9a441", "cold": "#2f6690"}
_SAID = {
    "all-hot": "all of it on the hot tiers of its sites",
    "all-warm": "all of it on standard object storage",
    "by age": "lifecycle rules: warm after 7 days, cold after 30, whatever is owed",
    "planned": "the planner of this package, once a day",
}
_PARTS = ["storage hot", "storage warm", "storage cold", "egress", "retrieval", "reading back", "early deletion"]
_PARTS += ["requests"]


def saved(results: Results, scenario: str) -> float | None:
    """By how much the planner's year is cheaper than all-hot, as a part of it; None where one was not run."""
    hot, planned = results.get(f"{scenario}: all-hot"), results.get(f"{scenario}: planned")
    return None if hot is None or planned is None else 1 - planned["total"] / hot["total"]


def write_docs(results: Results, folder: Path) -> None:
    """Raises ImportError without Matplotlib, KeyError where the main scenario was not run."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "holdfast", "svg.fonttype": "path", "font.size": 9})
    _draw_costs(results, folder / "tiers-cost.svg")
    _draw_bytes(results, folder / "tiers-bytes.svg")
    (folder / "tiers.md").write_text(page(results))


def page(results: Results) -> str:
    """The tables, as Markdown."""
    base = {name: results[f"as stated: {name}"] for name in _COLOURS}
    first = base["planned"]
    currency = first["currency"]
    lines = [
        "<!-- written by `python -m benchmarks.tiers --docs`; do not edit -->",
        "# A simulated year of tiers",
        "",
        f"{first['assets']} assets on three sites, {first['days']} days after a year that only filled the stores; list "
        f"prices of {first['prices']}, {currency}. Every snapshot was judged on every day, {first['checked']:,} times, "
        "against the slowest hour of every path at once, by a checker that shares no code with the planner.",
        "",
        f"| {currency} a year | {' | '.join(base)} |",
        "|---" * (len(base) + 1) + "|",
    ]
    for part in _PARTS:
        lines.append(f"| {part} | {' | '.join(_money(one['by_what'].get(part, 0.0)) for one in base.values())} |")
    lines.append(f"| **all** | {' | '.join('**' + _money(one['total']) + '**' for one in base.values())} |")
    total = base["all-hot"]["total"]
    less = " | ".join(f"{1 - one['total'] / total:.0%}" for one in base.values())
    lines.append(f"| less than all-hot | {less} |")
    still = {name: one["total"] - one["by_what"].get("egress", 0.0) for name, one in base.items()}
    without = " | ".join(f"{1 - amount / still['all-hot']:.0%}" for amount in still.values())
    lines.append(f"| the same without egress | {without} |")
    lines.append(f"| snapshot-days below what is owed | {' | '.join(_breaches(one) for one in base.values())} |")
    lines += ["", *(f"* **{name}**: {text}" for name, text in _SAID.items()), ""]
    moves = ", ".join(f"{count:,} × {verb}" for verb, count in sorted(first["moves"].items()))
    lines += [f"The planner's moves in the year: {moves}. Snapshots at the end of it: {first['snapshots']:,}.", ""]
    lines += ["![Cost of each week](tiers-cost.svg)", "", "![Bytes by tier](tiers-bytes.svg)", ""]
    lines += [
        "## If something else were so",
        "",
        "| scenario | all-hot | planned | saved | breaches |",
        "|---|---|---|---|---|",
    ]
    for name, planned in results.items():
        scenario, _, strategy = name.partition(": ")
        if strategy == "planned":
            hot, part = results[f"{scenario}: all-hot"], saved(results, scenario) or 0.0
            sums = f"{_money(hot['total'])} | {_money(planned['total'])} | {part:.0%}"
            lines.append(f"| {scenario} | {sums} | {_breaches(planned)} |")
    return "\n".join(lines) + "\n"


def _breaches(found: dict[str, Any]) -> str:
    count = sum(found["breaches"].values())
    return f"{count:,} of {found['checked']:,}" if count else "0"


def _money(amount: float) -> str:
    return f"{amount:,.0f}"


def _draw_costs(results: Results, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.8), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for name, colour in _COLOURS.items():
        found = results[f"as stated: {name}"]
        weeks = found["by_week"]
        count = sum(found["breaches"].values())
        label = f"{name} ({count:,} snapshot-days below what is owed)"
        axes.plot(range(len(weeks)), [week / 1000 for week in weeks], color=colour, label=label, linewidth=1.4)
    axes.set_xlabel("week")
    axes.set_ylabel(f"thousand {found['currency']} a week")
    axes.set_ylim(bottom=0)
    axes.set_title("What the vault costs, week by week", loc="left")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def _draw_bytes(results: Results, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.2), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    weeks = results["as stated: planned"]["terabytes_by_week"]
    series = [[week[tier] for week in weeks] for tier in _TIERS]
    axes.stackplot(range(len(weeks)), *series, colors=list(_TIERS.values()), labels=list(_TIERS), alpha=0.9)
    axes.set_xlabel("week")
    axes.set_ylabel("TB stored, all sites")
    axes.set_title("Where the planner lets them lie", loc="left")
    axes.legend(fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
