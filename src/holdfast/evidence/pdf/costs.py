"""The costs of a run in the PDF: the same rows as on the page."""

from __future__ import annotations

from collections.abc import Iterator

from reportlab.platypus import Flowable

from holdfast.evidence.page_costs import money, notes_of, prices_of, product
from holdfast.evidence.page_parts import duration, number
from holdfast.evidence.pdf.parts import Heading, facts, grid, note
from holdfast.evidence.record import Evidence

__all__ = ["costs"]


def costs(record: Evidence) -> Iterator[Flowable]:
    """What was spent and lost, and where each input is from."""
    said = record.costs
    if said is None:
        return
    yield Heading("Costs", 2)
    yield from facts(
        [
            ("Spent on the recovery", money(said.spent, said.currency)),
            ("GPU-hours lost", number(said.gpu_hours)),
            ("Money lost", money(said.lost_amount, said.currency)),
            ("Prices", f"{said.currency}, price book of {said.as_of}, and what is declared"),
        ]
    )
    got = [
        [
            one.step,
            f"{one.site}, {one.shape}",
            product(number(one.machines), number(one.gpus), " GPUs"),
            f"{duration(one.seconds)}, until {one.until}",
            number(one.gpu_hours),
            money(one.price_per_hour, said.currency),
            money(one.amount, said.currency),
        ]
        for one in said.compute
    ]
    heads = ["Machines that were got", "Where", "How many", "For", "GPU-hours", "Machine and hour", "Cost"]
    yield from grid(heads, got, (24, 20, 24, 24, 24, 24, 24))
    read = [
        [
            one.step,
            f"{one.store} to {one.site}",
            number(one.bytes),
            number(one.requests),
            prices_of(one, said.currency),
            money(one.amount, said.currency),
        ]
        for one in said.reading
    ]
    heads = ["Bytes that were read", "Way", "Bytes", "Requests", "Prices", "Cost"]
    yield from grid(heads, read, (22, 24, 24, 24, 52, 24))
    lost = [
        [
            one.asset,
            product(number(one.machines), number(one.gpus), " GPUs"),
            f"{product(number(one.steps), duration(one.step_seconds))}: {number(one.rework_gpu_hours)}",
            f"{duration(one.idle_seconds)}: {number(one.idle_gpu_hours)}",
            number(one.gpu_hours),
            money(one.amount, said.currency),
        ]
        for one in said.lost
    ]
    heads = ["GPU time lost", "Ran on", "Done again: GPU-hours", "Idle: GPU-hours", "Together", "Worth"]
    yield from grid(heads, lost, (20, 26, 36, 32, 24, 24))
    if not said.lost:
        yield note("Nothing failed: no GPU time was lost.")
    yield from grid(["Of", "Where the input is from"], [list(one) for one in notes_of(said)], (26, 90))
