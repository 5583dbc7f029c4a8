"""The steps of a plan, once it is clear what comes back where from which copy on which machines."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from holdfast.recovery.estimates import NOTHING, Estimate, transfer, unknown
from holdfast.recovery.facts import Asset, Facts
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.planning.capacity import Got
from holdfast.recovery.planning.points import Usable
from holdfast.recovery.plans import Kind, Machines, Step

__all__ = ["Part", "steps_of", "writers_of"]

_STANDS_THERE = "it stands there already"


class Part(NamedTuple):
    """One asset of a plan."""

    asset: Asset
    point: Usable
    got: Got | None


def writers_of(assets: list[Asset]) -> dict[str, tuple[str, ...]]:
    """Asset → the sites that may still write it."""
    return {asset.name: (asset.home,) if asset.home else () for asset in assets}


def steps_of(facts: Facts, intent: Intent, site: str, parts: list[Part]) -> list[Step]:
    """All steps, in an order that reads well."""
    steps: list[Step] = []
    for part in parts:
        steps += _steps_of_one(facts, intent, site, part)
    return steps


def _steps_of_one(facts: Facts, intent: Intent, site: str, part: Part) -> list[Step]:
    name = part.asset.name
    steps: list[Step] = []
    silent: tuple[str, ...] = ()
    got = _getting(site, part)
    if got is not None and intent.graceful:
        steps.append(got)  # what runs is not stopped before there is something to run it on
    if part.asset.home and not intent.isolated:
        steps += _silencing(facts, intent, part.asset, site, () if got is None else (got.id,))
        silent = (steps[-1].id,)
    if got is not None and not intent.graceful:
        steps.append(got)
    steps.append(_restoring(facts, intent, site, part, silent))
    steps.append(
        _step(
            Kind.VERIFY,
            name,
            site,
            f"compare what was restored of {name} with its snapshot",
            after=(steps[-1].id,),
            estimate=transfer(part.point.snapshot.size, part.asset.verifying),
            no_undo="it only reads",
        )
    )
    if not intent.isolated:
        steps.append(
            _step(
                Kind.PROMOTE,
                name,
                site,
                f"make {site} the home of {name}",
                after=(steps[-1].id,),
                estimate=facts.acting,
                undo=f"make {part.asset.home} its home again, with the next epoch"
                if part.asset.home
                else "give up its home",
                with_={"epoch": part.asset.epoch + 1},
            )
        )
    return steps + _serving(facts, intent, site, part, steps[-1].id, got)


def _silencing(facts: Facts, intent: Intent, asset: Asset, to: str, got: tuple[str, ...]) -> list[Step]:
    """What is done at the home: stopped and saved once more if it answers, fenced in any case."""
    name, home = asset.name, asset.home
    at = facts.site(home)
    steps: list[Step] = []
    if intent.graceful:
        steps.append(
            _step(
                Kind.STOP,
                name,
                home,
                f"stop {name} in good order",
                after=got,
                estimate=facts.acting,
                undo=f"start {name} there again",
            )
        )
        steps.append(
            _step(
                Kind.SAVE,
                name,
                home,
                f"save {name} once more, and wait until the copy is complete",
                after=(steps[-1].id,),
                estimate=asset.saving,
                no_undo="a snapshot more does no harm",
                with_={"to": to},
            )
        )
    steps.append(
        _step(
            Kind.FENCE,
            name,
            home,
            f"fence {home}: nothing that it writes of {name} counts any more",
            after=tuple(step.id for step in steps[-1:]),
            estimate=at.fencing if at is not None else unknown("nobody knows that site"),
            no_undo="an epoch never goes back; a recovery to that site gives it the next one",
            with_={"epoch": asset.epoch + 1},
        )
    )
    return steps


def _getting(site: str, part: Part) -> Step | None:
    if part.got is None or part.got.getting is None:
        return None
    machines = part.got.machines
    missing = machines.number - machines.ready
    return _step(
        Kind.GET_COMPUTE,
        machines.asset,
        site,
        f"get {missing} × {machines.shape} for {machines.asset}",
        estimate=part.got.getting,
        undo="give the machines back",
        with_={"shape": machines.shape, "number": missing},
    )


def _restoring(facts: Facts, intent: Intent, site: str, part: Part, silent: tuple[str, ...]) -> Step:
    chosen, name = part.point.chosen, part.asset.name
    reading = part.point.reading
    here = facts.site(site)
    if intent.strategy is Strategy.HOT_STANDBY and here is not None and here.restored.get(name) == chosen.snapshot:
        reading = Estimate(seconds=0.0, source=NOTHING.source, why=_STANDS_THERE)
    with_: dict[str, str | int | tuple[str, ...]] = {"snapshot": chosen.snapshot, "store": chosen.store}
    if intent.graceful and part.asset.home:
        with_["newer"] = f"save-{name}"
    return _step(
        Kind.RESTORE,
        name,
        site,
        f"restore {name} from {chosen.store}",
        after=silent,
        estimate=reading,
        undo="remove what was restored; what was there before was not touched",
        with_=with_,
    )


def _serving(facts: Facts, intent: Intent, site: str, part: Part, ready: str, got: Step | None) -> list[Step]:
    """Starting it and waiting until it is good at capacity; a warm standby starts on the few machines that it has."""
    if part.got is None:
        return _traffic(facts, intent, site, part, ready)
    name, machines = part.asset.name, part.got.machines
    early = intent.strategy is Strategy.WARM_STANDBY
    waits = (got.id,) if got is not None else ()
    first = machines.ready if early else machines.number
    start = _step(
        Kind.START,
        name,
        site,
        f"start {name} on {first} × {machines.shape}",
        after=(ready,) if early else (ready, *waits),
        estimate=facts.acting,
        undo=f"stop {name} at {site}",
        with_={"shape": machines.shape, "number": first},
    )
    steps = [start]
    if first < machines.number:
        steps.append(_growing(facts, site, name, machines, (start.id, *waits)))
    good = _step(
        Kind.WAIT_HEALTHY,
        name,
        site,
        f"wait until {name} is good on {machines.number} × {machines.shape}",
        after=(steps[-1].id,),
        estimate=part.asset.starting,
        no_undo="it only looks",
        with_={"shape": machines.shape, "number": machines.number},
    )
    return [*steps, good, *_traffic(facts, intent, site, part, good.id)]


def _growing(facts: Facts, site: str, name: str, machines: Machines, after: tuple[str, ...]) -> Step:
    """The machines that were got join those on which a warm standby runs already."""
    more = machines.number - machines.ready
    return msgspec.structs.replace(
        _step(
            Kind.START,
            name,
            site,
            f"let {name} grow by {more} × {machines.shape} to {machines.number}",
            after=after,
            estimate=facts.acting,
            undo=f"stop {name} there",
            with_={"shape": machines.shape, "number": more, "first": machines.ready},
        ),
        id=f"grow-{name}",
    )


def _traffic(facts: Facts, intent: Intent, site: str, part: Part, ready: str) -> list[Step]:
    if intent.isolated or not part.asset.traffic:
        return []
    name = part.asset.name
    title = f"send the traffic of {name} to {site}"
    undo = "send it where it went before"
    with_: dict[str, str | int | tuple[str, ...]] = {"home": part.asset.home} if part.asset.home else {}
    return [_step(Kind.TRAFFIC, name, site, title, after=(ready,), estimate=facts.acting, undo=undo, with_=with_)]


def _step(
    kind: Kind,
    asset: str,
    site: str,
    title: str,
    *,
    estimate: Estimate,
    after: tuple[str, ...] = (),
    undo: str = "",
    no_undo: str = "",
    with_: dict[str, str | int | tuple[str, ...]] | None = None,
) -> Step:
    return Step(
        id=f"{kind}-{asset}",
        kind=kind,
        title=title,
        site=site,
        asset=asset,
        after=after,
        with_=with_ or {},
        estimate=estimate,
        undo=undo,
        no_undo=no_undo,
        timeout=max(600.0, 5 * estimate.most),
    )
