"""Plans: graphs of steps in which some orders cannot be broken, whoever builds them. Pure.

* Nothing is restored before the site that may still write it is fenced.
* Nothing is promoted before it is verified at that site, and verified before it is restored there.
* Nothing gets traffic before it is promoted, and no machine starts what is not promoted.
* In isolation nothing is fenced, stopped, promoted or sent traffic.

A plan is named by the SHA-256 of its canonical JSON (sorted keys): approvals are of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

import msgspec

from holdfast.errors import RefusedError, UsageError
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import Estimate, Source, in_a_row
from holdfast.recovery.intents import Intent

__all__ = ["Kind", "Step", "Chosen", "Rejected", "Machines", "Plan", "build_plan", "plan_hash", "require_rules"]
__all__ += ["critical_path"]


class Kind(StrEnum):
    """What a step does. The first nine are the planner's; the others come from runbooks, anywhere among them."""

    STOP = "stop"  # what runs at the home, in good order
    SAVE = "save"  # once more, at the home
    FENCE = "fence"  # a site can write nothing any more that counts
    GET_COMPUTE = "get-compute"
    RESTORE = "restore"
    VERIFY = "verify"
    PROMOTE = "promote"  # this site is the home of the asset from now on
    START = "start"
    WAIT_HEALTHY = "wait-healthy"
    TRAFFIC = "traffic"
    SHELL = "shell"
    PYTHON = "python"
    ANSIBLE = "ansible"
    HTTP_CHECK = "http-check"
    WEBHOOK = "webhook"
    HUMAN = "human"


_NOT_IN_ISOLATION = (Kind.STOP, Kind.SAVE, Kind.FENCE, Kind.PROMOTE, Kind.TRAFFIC)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """`after`: ids of the steps that must have ended well. `with_`: what it is called with (no secrets: references).

    `undo`: what is done to take it back; `no_undo`: why nothing can be, or need be. One of the two is said.
    """

    id: str
    kind: Kind
    title: str
    site: str
    asset: str = ""
    after: tuple[str, ...] = ()
    with_: dict[str, str | int | tuple[str, ...]] = msgspec.field(default_factory=dict, name="with")
    estimate: Estimate
    undo: str = ""
    no_undo: str = ""
    attempts: int = 3
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        """Raises UsageError for a step that cannot be run, or says nothing about taking it back."""
        if bool(self.undo) == bool(self.no_undo):
            raise UsageError(f"the step {self.id} says how it is undone, or why it is not")
        if self.attempts < 1 or not 0 < self.timeout < float("inf"):
            raise UsageError(f"the step {self.id} has at least one attempt, and a time limit")


class Rejected(msgspec.Struct, frozen=True):
    """Something that was considered and not taken, and why."""

    what: str
    why: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery point of an asset and where it is read from. `loss`: seconds between its content and the fault,
    where its time is known, else the facts.
    """

    asset: str
    snapshot: SnapshotId
    step: int | None
    content: int
    loss: float
    site: str
    store: str
    rejected: tuple[Rejected, ...] = ()


class Machines(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset runs on: `number` of that shape, of which `ready` stand there and the others have to be got.
    `wanted`: full capacity.
    """

    asset: str
    shape: str
    number: int
    ready: int
    wanted: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable plan, by `build_plan`. `facts_at`: what it relies on was seen then; it is stale after `fresh_until`.

    `machines`: what it counts on at `site`. `rejected`: other sites that were asked for first, and why not. `writers`:
    asset → the sites that could write it when this was planned: the rules above are of these.
    """

    intent: Intent
    site: str
    facts_at: int
    fresh_until: int
    chosen: tuple[Chosen, ...]
    steps: tuple[Step, ...]
    machines: tuple[Machines, ...] = ()
    detecting: Estimate
    deciding: Estimate
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    writers: dict[str, tuple[str, ...]] = {}

    @property
    def rto(self) -> Estimate:
        """From the fault to a service that is good: along the longest path of steps, with what comes before them.

        NOT_MEASURED as soon as any step is: it may be the longest.
        """
        total = in_a_row([self.detecting, self.deciding, *(step.estimate for step in critical_path(self.steps))])
        unknown = [step.id for step in self.steps if not step.estimate.known]
        if unknown:
            source, why = Source.NOT_MEASURED, f"nobody measured {', '.join(unknown)}"
            total = msgspec.structs.replace(total, error=0.0, source=source, why=why)
        return total

    def step(self, name: str) -> Step:
        """Raises UsageError."""
        for one in self.steps:
            if one.id == name:
                return one
        raise UsageError(f"the plan has no step {name!r}")


def plan_hash(plan: Plan) -> str:
    """64 hex digits."""
    return hashlib.sha256(msgspec.json.encode(plan, order="sorted")).hexdigest()


def build_plan(plan: Plan, *, fenced: Mapping[str, Iterable[str]]) -> Plan:
    """The plan, its steps in an order in which they can be done, if it keeps the rules above.

    `fenced`: asset → the sites that may still write it. Raises RefusedError with the rule and the step that breaks it,
    UsageError for a graph that is none (a step twice, an unknown one, a circle).
    """
    steps = _ordered(plan.steps)
    writers = {asset: tuple(sites) for asset, sites in fenced.items()}
    _check_steps(steps, plan.intent, writers)
    return msgspec.structs.replace(plan, steps=tuple(steps), writers=writers)


def require_rules(plan: Plan, writers: Mapping[str, Iterable[str]] | None = None) -> None:
    """That a plan from somewhere else keeps the rules above: of its own `writers`, or of those who may write now.

    Raises RefusedError, UsageError as `build_plan`, also for steps that stand in no order in which they can be done.
    """
    before: set[str] = set()
    for step in plan.steps:
        if not before.issuperset(step.after):
            raise UsageError(f"the step {step.id} of this plan stands before one that it comes after")
        before.add(step.id)
    _check_steps(_ordered(plan.steps), plan.intent, plan.writers if writers is None else writers)


def _check_steps(steps: list[Step], intent: Intent, writers: Mapping[str, Iterable[str]]) -> None:
    before = _ancestors(steps)
    by_id = {step.id: step for step in steps}
    for step in steps:
        _check_step(step, [by_id[name] for name in sorted(before[step.id])], intent, writers)


def critical_path(steps: Iterable[Step]) -> list[Step]:
    """The longest chain of steps, by the upper ends of their estimates, first to last; `steps` are ordered."""
    best: dict[str, tuple[float, list[Step]]] = {}
    for step in steps:
        _, path = max((best[name] for name in step.after), key=lambda one: one[0], default=(0.0, []))
        best[step.id] = (_most(path) + step.estimate.most, [*path, step])
    return max(best.values(), key=lambda one: one[0], default=(0.0, []))[1]


def _most(path: Iterable[Step]) -> float:
    return sum(step.estimate.most for step in path)


def _ordered(steps: Iterable[Step]) -> list[Step]:
    by_id: dict[str, Step] = {}
    for step in steps:
        if step.id in by_id:
            raise UsageError(f"two steps of the plan are called {step.id!r}")
        by_id[step.id] = step
    for step in by_id.values():
        for name in step.after:
            if name not in by_id:
                raise UsageError(f"the step {step.id} comes after {name!r}, which the plan does not have")
    sorter = TopologicalSorter({step.id: step.after for step in by_id.values()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise UsageError(f"these steps wait for each other: {' → '.join(error.args[1])}") from error
    ordered: list[Step] = []
    places = {name: place for place, name in enumerate(by_id)}
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=places.__getitem__)
        ordered += [by_id[name] for name in ready]
        sorter.done(*ready)
    return ordered


def _ancestors(steps: Iterable[Step]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for step in steps:
        found[step.id] = set(step.after).union(*(found[name] for name in step.after))
    return found


def _check_step(step: Step, before: list[Step], intent: Intent, fenced: Mapping[str, Iterable[str]]) -> None:
    if intent.isolated:
        if step.kind in _NOT_IN_ISOLATION:
            raise RefusedError(f"{step.id}: a rehearsal in isolation has no step of the kind {step.kind}")
        if step.kind is not Kind.VERIFY and step.kind is not Kind.START:
            return
    elif step.kind is Kind.RESTORE:
        for site in fenced.get(step.asset, ()):
            if not any(_silences(one, step.asset, site) for one in before):
                raise RefusedError(f"{step.id} restores {step.asset} before {site}, which may write it, is fenced")
    here = [one for one in before if one.asset == step.asset and one.site == step.site]
    for kind, needed in _NEEDS:
        if step.kind is not kind or (intent.isolated and needed is Kind.PROMOTE):
            continue
        if not any(one.kind is needed for one in here):
            raise RefusedError(f"{step.id}: {kind} of {step.asset} at {step.site} comes after a {needed} there")


_NEEDS = (
    (Kind.VERIFY, Kind.RESTORE),
    (Kind.PROMOTE, Kind.VERIFY),
    (Kind.START, Kind.VERIFY),
    (Kind.START, Kind.PROMOTE),
    (Kind.TRAFFIC, Kind.PROMOTE),
)


def _silences(step: Step, asset: str, site: str) -> bool:
    return step.kind is Kind.FENCE and step.site == site and step.asset in ("", asset)
