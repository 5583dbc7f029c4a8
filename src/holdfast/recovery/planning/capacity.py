"""Machines: a hard gate. What was not probed a short while ago is not there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.recovery.estimates import Estimate
from holdfast.recovery.facts import Asset, Compute, Site
from holdfast.recovery.intents import Strategy
from holdfast.recovery.plans import Machines, Rejected
from holdfast.units import format_duration

__all__ = ["PROBE_SECONDS", "Got", "find_machines", "probe_problem"]

PROBE_SECONDS = 600.0


class Got(NamedTuple):
    """The machines of an asset, and how long it takes until those that are not ready run (None: all are)."""

    machines: Machines
    getting: Estimate | None


def find_machines(
    site: Site, assets: Iterable[Asset], strategy: Strategy, now_ns: int, *, reduced: bool
) -> dict[str, Got] | Rejected:
    """Machines at `site` for each asset that needs some: the first of its shapes that will do.

    `reduced`: the least number will do where there are not enough. Assets share what is there, in their order.
    """
    ready = {one.shape: one.ready for one in site.compute}
    free = {one.shape: one.free for one in site.compute}
    found: dict[str, Got] = {}
    for asset in assets:
        if not asset.needs:
            continue
        problems: list[str] = []
        for shape in asset.shapes:
            probed = next((one for one in site.compute if one.shape == shape), None)
            problem = probe_problem(probed, shape, now_ns)
            number = 0
            if probed is not None and problem is None:
                number, problem = _number(asset, strategy, ready[shape], free[shape], reduced)
            if problem is not None:
                problems.append(f"{shape}: {problem}")
                continue
            assert probed is not None
            taken = min(number, ready[shape])
            ready[shape] -= taken
            free[shape] -= number - taken
            machines = Machines(asset=asset.name, shape=shape, number=number, ready=taken, wanted=asset.needs)
            found[asset.name] = Got(machines, None if taken == number else probed.getting)
            break
        else:
            return Rejected(site.name, f"no machines for {asset.name} ({'; '.join(problems)})")
    return found


def probe_problem(probed: Compute | None, shape: str, now_ns: int) -> str | None:
    """Why what was probed counts for nothing, or None."""
    if probed is None:
        return "it was not probed there"
    age = (now_ns - probed.probed) / NANOSECONDS
    if age > PROBE_SECONDS:
        return f"it was probed {format_duration(age)} ago, which counts for {format_duration(PROBE_SECONDS)}"
    return None


def _number(asset: Asset, strategy: Strategy, ready: int, free: int, reduced: bool) -> tuple[int, str | None]:
    """How many to take, or why not."""
    least = asset.least or asset.needs
    if strategy is Strategy.HOT_STANDBY:
        free = 0
    if strategy is Strategy.WARM_STANDBY and ready < least:
        return 0, f"a warm standby has at least {least} running, and there are {ready}"
    there = ready + free
    if there >= asset.needs:
        return asset.needs, None
    if reduced and there >= least:
        return there, None
    return 0, f"{there} to be had of {asset.needs}" + (f" ({least} at least)" if reduced else "")
