"""Having snapshots hot by a time: before a drill, before an announced risk. Pure.

seconds of one = first byte of its source + bytes / rate to the site + bytes / rate of reading them back there

One after the other, in the order that is asked for; so the last possible start is the time minus the sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.replication.tiering.facts import NANOSECONDS, Facts, Raised, Snapshot, Store
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.stepping import Room
from holdfast.units import format_duration, format_size

__all__ = ["Prewarm", "PrewarmStep", "plan_prewarm"]


class PrewarmStep(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot. `seconds`: for copying and reading back. `ready_ns`: None where nothing was measured."""

    snapshot: str
    source: str
    bytes: int
    seconds: float | NotMeasured
    ready_ns: int | None
    in_time: bool
    text: str


class Prewarm(msgspec.Struct, frozen=True, kw_only=True):
    """`start_ns`: when the copying has to begin, not before now. `raised`: for `Facts`, so that the planner copies them
    and lets them stay. `left_out`: snapshot → why it does not fit.
    """

    store: str
    start_ns: int
    steps: tuple[PrewarmStep, ...]
    raised: tuple[Raised, ...]
    left_out: dict[str, str]

    @property
    def in_time(self) -> bool | NotMeasured:
        """Whether all that was asked for will be there; NOT_MEASURED where a rate is missing."""
        if any(isinstance(step.seconds, NotMeasured) for step in self.steps):
            return NOT_MEASURED
        return not self.left_out and all(step.in_time for step in self.steps)


def plan_prewarm(
    facts: Facts, snapshots: Sequence[str], store: str, by_ns: int, hold_seconds: float, reason: str
) -> Prewarm:
    """Raise these snapshots to `store`, the first ones first, by `by_ns`; they stay `hold_seconds` longer.

    Raises RefusedError where one must not lie there, NotFoundError for a snapshot or store that is not among the facts,
    UsageError.
    """
    layout = Layout(facts)
    if store not in layout.stores:
        raise NotFoundError(f"there is no store {store!r} among the facts")
    if hold_seconds < 0:
        raise UsageError("snapshots cannot be held for less than no time")
    target = layout.stores[store]
    wanted = [_allowed(layout, name, target) for name in snapshots]
    room, left_out = Room(layout, layout.packs_at()), dict[str, str]()
    found: list[tuple[Snapshot, str, int, float | NotMeasured]] = []
    for one in wanted:
        lying = one.at.get(store)
        if lying is not None and lying.verified_ns is not None:
            found.append((one, store, 0, 0.0))
            continue
        taken = room.take(one, store)
        if taken is None:
            left_out[one.id] = f"{store} holds {format_size(target.capacity_bytes or 0)}, and that is full"
            continue
        source, seconds = _fastest(layout, one, target, taken[1])
        found.append((one, source, taken[1], seconds))
    start = _start(facts.now_ns, by_ns, [seconds for _, _, _, seconds in found])
    steps = _steps(found, start, by_ns)
    until = by_ns + round(hold_seconds * NANOSECONDS)
    kept = tuple(
        Raised(snapshot=one.id, store=store, until_ns=until, reason=reason, source=source)
        for one, source, _, _ in found
    )
    return Prewarm(store=store, start_ns=start, steps=tuple(steps), raised=kept, left_out=left_out)


def _allowed(layout: Layout, name: str, target: Store) -> Snapshot:
    if name not in layout.snapshots:
        raise NotFoundError(f"there is no snapshot {name!r} among the facts")
    snapshot = layout.snapshots[name]
    asset = layout.assets[snapshot.asset]
    if not layout.allows(asset, target.site):
        where = layout.sites[target.site].jurisdiction
        raise RefusedError(
            f"{name} of {asset.name!r} must not be raised to {target.name}: that is in {where}",
            hint=f"choose a site that class {asset.owed.name} may lie at",
        )
    if not snapshot.at:
        raise NotFoundError(f"snapshot {name} lies at no store")
    return snapshot


def _fastest(layout: Layout, snapshot: Snapshot, target: Store, size: int) -> tuple[str, float | NotMeasured]:
    """The source that is done first; any, and NOT_MEASURED, where no rate to the site was measured."""
    fresh = layout.assets[snapshot.asset].rules.fresh
    back = layout.rates.of(target.name, target.site, fresh)
    best: tuple[float, str] | None = None
    for name in sorted(snapshot.at):
        rate = layout.rates.of(name, target.site, fresh)
        if isinstance(rate, NotMeasured) or isinstance(back, NotMeasured):
            continue
        seconds = layout.stores[name].wait_seconds + size / rate + size / back
        best = min(best or (seconds, name), (seconds, name))
    return (best[1], best[0]) if best is not None else (min(snapshot.at), NOT_MEASURED)


def _start(now_ns: int, by_ns: int, seconds: Sequence[float | NotMeasured]) -> int:
    """The last moment that is early enough; now, where that is past or nobody knows it."""
    known = [one for one in seconds if not isinstance(one, NotMeasured)]
    if len(known) < len(seconds):
        return now_ns
    return max(now_ns, by_ns - round(sum(known) * NANOSECONDS))


def _steps(
    found: Sequence[tuple[Snapshot, str, int, float | NotMeasured]], start_ns: int, by_ns: int
) -> list[PrewarmStep]:
    steps = []
    clock: int | None = start_ns
    for one, source, size, seconds in found:
        clock = None if isinstance(seconds, NotMeasured) or clock is None else clock + round(seconds * NANOSECONDS)
        in_time = clock is not None and clock <= by_ns
        if isinstance(seconds, NotMeasured):
            text = f"{one.id} from {source}: {format_size(size)}; NOT_MEASURED, so begin now"
        else:
            when = "in time" if in_time else "too late" if clock is not None else "after what was not measured"
            text = f"{one.id} from {source}: {format_size(size)} in {format_duration(seconds)}, {when}"
        steps.append(
            PrewarmStep(
                snapshot=one.id, source=source, bytes=size, seconds=seconds, ready_ns=clock, in_time=in_time, text=text
            )
        )
    return steps
