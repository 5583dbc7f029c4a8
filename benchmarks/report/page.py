"""docs/benchmarks.md out of the results: what was measured and how, verdicts, tables, and what cannot be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..results import errors_in
from .figures import Results, case
from .numbers import number
from .tables import limit_table, linear_table, speed_tables, stored_table, tree_table, verdict_table
from .targets import TARGETS, Verdict, judge

__all__ = ["page"]

_TEXT = Path(__file__).with_name("page.md")
_TREES = {
    "lora": "A LoRA fine-tune: frozen base (bf16), adapters and their moments (fp32); next: 100 steps later",
    "dataset": "A tree of a data set; next: 2 % of it changed, renamed or new",
    "variants": "Models that share a base; next: one more, one trained on, one averaged anew",
}


def page(results: Results, explanations: Mapping[str, str], plots: Sequence[str]) -> str:
    """The whole page. `explanations`: key of a target → why it is missed, written by hand."""
    verdicts = judge(TARGETS, results)
    parts = {
        "warning": _warning(results),
        "machine": _machine(results),
        "workload": _workload(results),
        "verdicts": verdict_table(verdicts),
        "summary": _summary(verdicts),
        "misses": _misses(verdicts, explanations),
        "limits": limit_table(results),
        "stored": stored_table(results),
        "speed_fp32": speed_tables(results, "speed-fp32"),
        "speed_bf16": speed_tables(results, "speed-bf16"),
        "durable": _durable(results),
        "trees": _trees(results),
        "linear": _linear(results),
        "start": _start(results),
        "tools": _tools(results),
        "errors": _errors(results),
    }
    text = _TEXT.read_text()
    for name, content in parts.items():
        text = text.replace("{{" + name + "}}", content or "Not measured in this run.")
    for name in ("save-fp32", "save-bf16", "restore-fp32", "stored-fp32", "stored-bf16", "linear"):
        there = f"{name}.svg" in plots
        text = text.replace("{{plot:" + name + "}}", f"![{name}](benchmarks/{name}.svg)" if there else "")
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


def _warning(results: Results) -> str:
    if results["plan"] == "full":
        return " "
    return (
        f"> **This page comes from a run of the plan `{results['plan']}`**: small data, few rounds, perhaps on a "
        "machine that did other things at the same time.\n> Its speeds say nothing, and its verdicts are not the "
        "project's. `make bench` measures."
    )


def _machine(results: Results) -> str:
    facts = results["machine"]
    memory = f"{facts['memory'] / 2**30:.0f} GiB"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {memory} of memory, {facts['kernel']}, Python {facts['python']}"
    )


def _workload(results: Results) -> str:
    facts = results["workload"]
    return (
        f"a transformer of {facts['parameters'] / 1e6:.1f} M parameters, really trained for {facts['steps']} steps "
        f"with {facts['engine'].split('+')[0]} "
        f"(loss {facts['first_loss']:.2f} → {facts['last_loss']:.2f} nats per byte); "
        f"every state that ratios are taken from is of step {facts['warm_steps']} or later"
    )


def _summary(verdicts: Sequence[Verdict]) -> str:
    words = [verdict.word for verdict in verdicts]
    told = [f"{words.count(word)} {text}" for word, text in (("MET", "met"), ("MISSED", "missed"))]
    if "NOT_MEASURED" in words:
        told.append(f"{words.count('NOT_MEASURED')} not measured")
    return f"Of {len(words)} targets: " + ", ".join(told) + "."


def _misses(verdicts: Sequence[Verdict], explanations: Mapping[str, str]) -> str:
    lines = []
    for verdict in verdicts:
        target = verdict.target
        if verdict.word == "MISSED":
            why = explanations.get(target.key, "not explained yet").strip()
            measured = number(verdict.measured, target.unit)
            lines.append(f"* **{target.group}, {target.text}**: {measured}. {why[:1].upper()}{why[1:]}")
    return "\n".join(lines) or "None."


def _durable(results: Results) -> str:
    found = case(results, "durable")
    if found is None:
        return ""
    note = "The folder lies in memory, so this says nothing.\n\n" if found["in_memory"] else ""
    return note + tree_table(found)


def _trees(results: Results) -> str:
    told = []
    for name, title in _TREES.items():
        if (found := case(results, name)) is not None:
            size = f"{found['bytes'] / 1e6:,.0f} MB in {found['files']:,} files"
            told.append(f"**{title}** ({size})\n\n{tree_table(found)}")
    return "\n\n".join(told)


def _linear(results: Results) -> str:
    found = case(results, "linear")
    if found is None:
        return ""
    where = "in memory" if found["in_memory"] else "on disk, the source dropped from the page cache before each save"
    return f"Source and vault lie {where}.\n\n{linear_table(results)}"


def _start(results: Results) -> str:
    found = case(results, "start")
    if found is None:
        return ""
    from .tables import table

    rows = [["import holdfast", number(1000 * _middle(found["import_seconds"]))]]
    rows += [[name, number(1000 * _middle(times))] for name, times in found["commands"].items()]
    heavy = ", ".join(found["heavy_modules"]) or "none of torch, ray, SQLAlchemy, NumPy, cryptography, pandas"
    return table(["", "ms"], rows) + f"\n\nHeavy modules loaded by the import: {heavy}."


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _tools(results: Results) -> str:
    told: dict[str, dict[str, Any]] = {}
    for found in results["cases"].values():
        told |= found.get("tools", {}) if isinstance(found, dict) else {}
    lines = [
        f"* {name} ({tool['version']})" + (f": {tool['note']}" if tool["note"] else "") for name, tool in told.items()
    ]
    absent = sorted({name for found in results["cases"].values() for name in found.get("absent", [])})
    if absent:
        lines.append(f"* Not on this machine, hence not measured: {', '.join(absent)}.")
    return "\n".join(lines)


def _errors(results: Results) -> str:
    told = errors_in(results["cases"])
    return "\n".join(f"* {line}" for line in told) or "None: every restore was compared with its source, byte for byte."
