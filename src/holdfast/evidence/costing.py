"""What a run cost and what its fault cost, from its journal, what was declared, and prices. Pure.

GPU time that a fault takes is work that is done again and time in which nothing could be done: the two parts that
J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps" (FGCS 22, 2006), has beside
that of the checkpoints themselves. Prices of reading are those of `holdfast.economics` (docs/economics.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.evidence.gathered import RunOfJournal
from holdfast.evidence.record_costs import ComputeCost, Costs, LostWork, ReadCost
from holdfast.evidence.terms import CostTerms, PoolTerms, Told, TrainingTerms, WayTerms
from holdfast.objectives import NOT_MEASURED, NotMeasured
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.plans import Kind, Step

__all__ = ["arithmetic_problems", "costs_of", "journal_problems"]

_HOUR: Final = 3600.0
_ROUND: Final = 6
_SLACK: Final = 2e-6  # all figures are rounded to six digits

Figure = float | NotMeasured


def costs_of(
    run: RunOfJournal | None, terms: CostTerms | None, steps_lost: dict[str, int], idle: Figure, fault: bool
) -> Costs | None:
    """None without a run, or where nothing was gathered.

    `steps_lost`: asset → training steps after its recovery point, of those where they were seen. `idle`: the RTO in
    seconds. `fault`: whether something failed at all.
    """
    if run is None or terms is None:
        return None
    compute = tuple(_compute(run, step, terms) for step in _steps(run, Kind.GET_COMPUTE))
    reading = tuple(_reading(run, step, terms) for step in _steps(run, Kind.RESTORE))
    lost: tuple[LostWork, ...] = ()
    if fault:
        lost = tuple(_lost(run, one.asset, terms, steps_lost.get(one.asset), idle) for one in run.plan.chosen)
    return Costs(
        currency=terms.currency,
        as_of=terms.as_of,
        compute=compute,
        reading=reading,
        lost=lost,
        spent=_spent(compute, reading),
        gpu_hours=_sum([one.gpu_hours for one in lost]),
        lost_amount=_sum([one.amount for one in lost]),
    )


def _spent(compute: Sequence[ComputeCost], reading: Sequence[ReadCost]) -> Figure:
    return _sum([*(one.amount for one in compute), *(one.amount for one in reading)])


def _steps(run: RunOfJournal, kind: Kind) -> list[Step]:
    """Those of this kind that were ever begun: what was not begun got and read nothing."""
    begun = {name for name, one in run.state.steps.items() if one.begun}
    return [step for step in run.plan.steps if step.kind is kind and step.id in begun]


def _counting(run: RunOfJournal) -> list[Entry]:
    return [entry for entry in run.entries if entry.number not in run.state.ignored]


def _got(run: RunOfJournal, step: Step) -> ComputeCost:
    """What the journal alone says of machines."""
    row = ComputeCost(
        step=step.id, asset=step.asset, site=step.site, shape=str(step.with_.get("shape", "")), until="nobody can tell"
    )
    entries = _counting(run)
    done = next((one for one in reversed(entries) if one.deed is Deed.DONE and one.step == step.id), None)
    if done is None:
        why = "machines: the step did not say that it got any"
        return msgspec.structs.replace(row, notes=(why,))
    machines = done.facts.get("machines")
    number: int | NotMeasured = NOT_MEASURED
    if isinstance(machines, int) and not isinstance(machines, bool) and machines >= 0:
        number = machines
    row = msgspec.structs.replace(row, machines=number)
    if "seconds" not in done.facts:
        why = "seconds: the control plane that got them was gone before it said when"
        return msgspec.structs.replace(row, notes=(why,))
    end, until = _end_of_getting(run, step, entries, done)
    if end is None:
        return msgspec.structs.replace(row, notes=("seconds: nothing says until when",))
    row = msgspec.structs.replace(row, begun_utc=to_rfc3339(done.at), ended_utc=to_rfc3339(end.at), until=until)
    if end.at < done.at:
        why = "seconds: a clock went back, or two disagree: it ends before it begins"
        return msgspec.structs.replace(row, notes=(why,))
    clocks = "one control plane" if end.by == done.by else "two control planes"
    note = f"seconds: by the journal, from the clock of {clocks}"
    return msgspec.structs.replace(row, seconds=round((end.at - done.at) / NANOSECONDS, _ROUND), notes=(note,))


def _end_of_getting(run: RunOfJournal, step: Step, entries: Sequence[Entry], done: Entry) -> tuple[Entry | None, str]:
    kinds = {one.id: one for one in run.plan.steps}

    def is_good(entry: Entry) -> bool:
        of = kinds.get(entry.step)
        here = of is not None and of.kind is Kind.WAIT_HEALTHY and (of.asset, of.site) == (step.asset, step.site)
        return entry.deed is Deed.DONE and here

    after = [one for one in entries if one.number > done.number]
    undone = next((one for one in after if one.deed is Deed.UNDONE and one.step == step.id), None)
    if undone is not None:
        return undone, "they were given back"
    good = next((one for one in reversed(after) if is_good(one)), None)
    if good is not None:
        return good, "the service was good"
    ended = next((one for one in after if one.deed is Deed.ENDED), None)
    return ended, "the run ended"


def _compute(run: RunOfJournal, step: Step, terms: CostTerms) -> ComputeCost:
    row = _got(run, step)
    pool = terms.pool(row.site, row.shape) or PoolTerms(site=row.site, shape=row.shape)
    return _with_hours(
        msgspec.structs.replace(
            row,
            gpus=pool.gpus.value,
            price_per_hour=pool.hourly.value,
            notes=(*row.notes, _note("GPUs", pool.gpus), _note("price", pool.hourly)),
        )
    )


def _with_hours(row: ComputeCost) -> ComputeCost:
    return msgspec.structs.replace(
        row,
        gpu_hours=_product(row.machines, row.gpus, row.seconds, over=_HOUR),
        amount=_product(row.machines, row.price_per_hour, row.seconds, over=_HOUR),
    )


def _read(run: RunOfJournal, step: Step) -> ReadCost:
    """What the journal alone says of reading."""
    state = run.state.steps[step.id]
    done = step.id in run.state.done
    store = str(state.facts.get("store") or step.with_.get("store", "")) if done else str(step.with_.get("store", ""))
    row = ReadCost(step=step.id, asset=step.asset, store=store, site=step.site)
    if not done:
        why = "bytes: the step is not in effect, and what its attempts read was not counted"
    elif state.facts.get("standing") is True:
        return msgspec.structs.replace(
            row, bytes=0, requests=0, notes=("bytes: a hot standby had them: none was read",)
        )
    elif state.attempts > 1:
        why = f"bytes: it took {state.attempts} attempts, and what the others read was not counted"
    elif isinstance(state.facts.get("read_elsewhere"), int) and state.facts["read_elsewhere"]:
        why = "bytes: a part came from other copies, whose requests were not counted"
    elif not _is_count(state.facts.get("read_bytes")) or not _is_count(state.facts.get("read_requests")):
        why = "bytes: whoever restored it did not count, or was gone before it could say so"
    else:
        size, requests = int(state.facts["read_bytes"]), int(state.facts["read_requests"])
        note = "bytes: counted by the restore; a request that was repeated counts once"
        return msgspec.structs.replace(row, bytes=size, requests=requests, notes=(note,))
    return msgspec.structs.replace(row, notes=(why,))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _reading(run: RunOfJournal, step: Step, terms: CostTerms) -> ReadCost:
    row = _read(run, step)
    way = terms.way(row.store, row.site) or WayTerms(store=row.store, site=row.site)
    return _with_amount(
        msgspec.structs.replace(
            row,
            egress_per_gb=way.egress.value,
            egress_gb=way.egress_gb,
            retrieval_per_gb=way.retrieval.value,
            price_per_1000=way.requests.value,
            gb=way.gb,
            notes=(*row.notes, _note("egress", way.egress), _note("retrieval and requests", way.retrieval)),
        )
    )


def _with_amount(row: ReadCost) -> ReadCost:
    if row.bytes == 0 and row.requests == 0:
        return msgspec.structs.replace(row, amount=0.0)
    parts = (
        _product(row.bytes, row.egress_per_gb, over=row.egress_gb, digits=12),
        _product(row.bytes, row.retrieval_per_gb, over=row.gb, digits=12),
        _product(row.requests, row.price_per_1000, over=1000, digits=12),
    )
    return msgspec.structs.replace(row, amount=_sum(parts))


def _lost(run: RunOfJournal, asset: str, terms: CostTerms, steps: int | None, idle: Figure) -> LostWork:
    told = terms.of_training(asset) or TrainingTerms(asset=asset)
    notes = [_note("step time", told.step_seconds), _note("machines", told.machines), _note("GPUs", told.gpus)]
    notes.append("steps: NOT_MEASURED: nobody saw at which step it was" if steps is None else "steps: by its heartbeat")
    seen = any(
        step.kind is Kind.WAIT_HEALTHY and step.asset == asset and step.id in run.state.done for step in run.plan.steps
    )
    idle = idle if seen else NOT_MEASURED
    if not seen:
        notes.append("idle: NOT_MEASURED: the run waited for no service of it: when GPUs worked again nobody saw")
    elif isinstance(idle, NotMeasured):
        notes.append("idle: NOT_MEASURED: the RTO was not measured")
    elif idle < 0:
        idle = NOT_MEASURED
        notes.append("idle: NOT_MEASURED: clocks disagree: it was over before it began")
    else:
        notes.append("idle: the RTO, from the fault until the service was good")
    machines: int | NotMeasured = NOT_MEASURED
    if not isinstance(told.machines.value, NotMeasured):
        machines = round(told.machines.value)
    row = LostWork(
        asset=asset,
        site=told.site,
        steps=NOT_MEASURED if steps is None else steps,
        step_seconds=told.step_seconds.value,
        machines=machines,
        gpus=told.gpus.value,
        idle_seconds=idle,
        price_per_hour=told.hourly.value,
        notes=(*notes, _note("price", told.hourly)),
    )
    return _with_lost(row)


def _with_lost(row: LostWork) -> LostWork:
    rework = _product(row.steps, row.step_seconds, row.machines, row.gpus, over=_HOUR)
    idle = _product(row.idle_seconds, row.machines, row.gpus, over=_HOUR)
    hours = _sum([rework, idle])
    each = row.gpus if isinstance(row.gpus, NotMeasured) or row.gpus > 0 else NOT_MEASURED
    amount: Figure = NOT_MEASURED
    if not isinstance(each, NotMeasured):
        amount = _product(hours, row.price_per_hour, over=each)
    return msgspec.structs.replace(row, rework_gpu_hours=rework, idle_gpu_hours=idle, gpu_hours=hours, amount=amount)


def _note(what: str, told: Told) -> str:
    missing = "NOT_MEASURED: " if isinstance(told.value, NotMeasured) else ""
    return f"{what}: {missing}{told.source or 'nobody told'}"


def _product(*factors: Figure, over: float, digits: int = _ROUND) -> Figure:
    if over <= 0:
        return NOT_MEASURED
    found = 1.0
    for factor in factors:
        if isinstance(factor, NotMeasured):
            return NOT_MEASURED
        found *= factor
    return round(found / over, digits)


def _sum(parts: Iterable[Figure]) -> Figure:
    """Of nothing, and of anything that is NOT_MEASURED: NOT_MEASURED."""
    given = list(parts)
    known = [one for one in given if not isinstance(one, NotMeasured)]
    return round(sum(known), _ROUND) if given and len(known) == len(given) else NOT_MEASURED


def arithmetic_problems(costs: Costs) -> Iterator[str]:
    """Where figures of the record do not follow from the inputs that stand beside them."""
    computed = msgspec.structs.replace(
        costs,
        compute=tuple(map(_with_hours, costs.compute)),
        reading=tuple(map(_with_amount, costs.reading)),
        lost=tuple(map(_with_lost, costs.lost)),
        spent=_spent(costs.compute, costs.reading),
        gpu_hours=_sum([one.gpu_hours for one in costs.lost]),
        lost_amount=_sum([one.amount for one in costs.lost]),
    )
    if not _alike(msgspec.to_builtins(costs), msgspec.to_builtins(computed)):
        yield "A cost or an amount of GPU time does not follow from the figures beside it."


def _alike(told: object, computed: object) -> bool:
    if isinstance(told, dict) and isinstance(computed, dict):
        return told.keys() == computed.keys() and all(_alike(told[name], computed[name]) for name in told)
    if isinstance(told, list | tuple) and isinstance(computed, list | tuple):
        return len(told) == len(computed) and all(map(_alike, told, computed))
    if isinstance(told, int | float) and isinstance(computed, int | float):
        return abs(told - computed) <= _SLACK + 1e-9 * abs(computed)
    return told == computed


def journal_problems(run: RunOfJournal, costs: Costs) -> Iterator[str]:
    """Where machines, times, bytes and requests are not those of the journal."""
    got = [_got(run, step) for step in _steps(run, Kind.GET_COMPUTE)]
    here = [
        (one.step, one.asset, one.site, one.shape, one.machines, one.begun_utc, one.ended_utc, one.seconds)
        for one in costs.compute
    ]
    if here != [
        (one.step, one.asset, one.site, one.shape, one.machines, one.begun_utc, one.ended_utc, one.seconds)
        for one in got
    ]:
        yield "The machines that the costs count are not those of the journal."
    read = [_read(run, step) for step in _steps(run, Kind.RESTORE)]
    if [(one.step, one.store, one.site, one.bytes, one.requests) for one in costs.reading] != [
        (one.step, one.store, one.site, one.bytes, one.requests) for one in read
    ]:
        yield "The bytes that the costs count are not those of the journal."
