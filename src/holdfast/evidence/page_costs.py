"""Sections of the evidence page about costs: machines, bytes that were read, GPU time that was lost."""

from __future__ import annotations

from holdfast.economics.amounts import format_money
from holdfast.evidence.markup import Child, Markup, join, tag
from holdfast.evidence.page_parts import bullets, duration, facts, number, table
from holdfast.evidence.record_costs import Costs, ReadCost
from holdfast.objectives import NOT_MEASURED, NotMeasured

__all__ = ["costs_section", "money", "notes_of", "prices_of", "product"]


def money(value: float | NotMeasured, currency: str) -> str:
    """`USD 1,234.50`, or NOT_MEASURED."""
    return str(value) if isinstance(value, NotMeasured) else format_money(value, currency)


def costs_section(costs: Costs) -> Markup:
    """What was spent, what was lost, and where each input is from."""
    sums = [
        ("Spent on the recovery", money(costs.spent, costs.currency)),
        ("GPU-hours lost", number(costs.gpu_hours)),
        ("Money lost", money(costs.lost_amount, costs.currency)),
        ("Prices", f"{costs.currency}, price book of {costs.as_of}, and what is declared"),
    ]
    parts = [facts(sums), _compute(costs), _reading(costs), _lost(costs)]
    notes: list[Child] = [join(tag("strong", name), f" {note}") for name, note in notes_of(costs)]
    return join(*parts, tag("h3", "Where the inputs are from"), bullets(notes, "There was nothing to count."))


def product(first: str, second: str, unit: str = "") -> str:
    """`4 × 8 GPUs`; NOT_MEASURED once where either is."""
    missing = str(NOT_MEASURED)
    return missing if missing in (first, second) else f"{first} × {second}{unit}"


def prices_of(one: ReadCost, currency: str) -> str:
    """The three of a row, in words."""
    egress, retrieval = money(one.egress_per_gb, currency), money(one.retrieval_per_gb, currency)
    return f"egress {egress} a GB, retrieval {retrieval} a GB, requests {money(one.price_per_1000, currency)} for 1,000"


def notes_of(costs: Costs) -> list[tuple[str, str]]:
    """What a row is of, and a sentence about one of its inputs; each once."""
    found = [(one.step, note) for one in costs.compute for note in one.notes]
    found += [(one.step, note) for one in costs.reading for note in one.notes]
    found += [(one.asset, note) for one in costs.lost for note in one.notes]
    return list(dict.fromkeys(found))


def _compute(costs: Costs) -> Markup:
    rows: list[list[Child]] = [
        [
            one.step,
            f"{one.site}, {one.shape}",
            number(one.machines),
            number(one.gpus),
            join(duration(one.seconds), tag("br"), tag("small", f"until {one.until}")),
            number(one.gpu_hours),
            money(one.price_per_hour, costs.currency),
            money(one.amount, costs.currency),
        ]
        for one in costs.compute
    ]
    heads = ["Step", "Where", "Machines", "GPUs each", "For", "GPU-hours", "A machine and hour", "Cost"]
    none = tag("p", "No step got machines.", class_="muted")
    return tag("div", table("Machines that were got", heads, rows), class_="wide") if rows else none


def _reading(costs: Costs) -> Markup:
    rows: list[list[Child]] = [
        [
            one.step,
            f"{one.store} to {one.site}",
            number(one.bytes),
            number(one.requests),
            prices_of(one, costs.currency),
            money(one.amount, costs.currency),
        ]
        for one in costs.reading
    ]
    heads = ["Step", "Way", "Bytes", "Requests", "Prices", "Cost"]
    none = tag("p", "No step read a store.", class_="muted")
    return tag("div", table("Bytes that were read", heads, rows), class_="wide") if rows else none


def _lost(costs: Costs) -> Markup:
    rows: list[list[Child]] = [
        [
            one.asset,
            product(number(one.machines), number(one.gpus), " GPUs"),
            product(number(one.steps), duration(one.step_seconds)),
            number(one.rework_gpu_hours),
            duration(one.idle_seconds),
            number(one.idle_gpu_hours),
            number(one.gpu_hours),
            money(one.amount, costs.currency),
        ]
        for one in costs.lost
    ]
    heads = ["Asset", "Ran on", "Steps lost", "Done again, GPU-hours", "Idle", "Idle, GPU-hours", "Together", "Worth"]
    none = tag("p", "Nothing failed: no GPU time was lost.", class_="muted")
    return tag("div", table("GPU time that was lost", heads, rows), class_="wide") if rows else none
