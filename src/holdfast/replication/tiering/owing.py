"""What an asset's class owes of each snapshot, and whether a set of stores gives it. Pure.

A snapshot owes: verified copies in as many failure domains as its class says, where its jurisdiction allows; and,
whichever `copies - 1` domains are lost, a store that is left from which machines that are left have it restored and
verified within the RTO. So a copy from which the RTO cannot be met is none of those that the class owes. Losses that
take all machines that an asset may be restored to are left out: no placement helps then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations

from holdfast.objectives.measured import NotMeasured
from holdfast.replication.tiering.facts import Asset, Snapshot
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.timing import restore_seconds
from holdfast.units import format_duration

__all__ = ["Owing", "limit_of"]


class Owing:
    """Of one asset."""

    def __init__(self, layout: Layout, asset: Asset) -> None:
        self._layout = layout
        self._asset = asset
        self._domains = {store.name: layout.domain(store.site) for store in layout.facts.stores}
        self._allowed = {store.name for store in layout.facts.stores if layout.allows(asset, store.site)}
        self._reach: dict[tuple[int, int], dict[str, frozenset[str]]] = {}
        self._losses = list(self._possible_losses())

    def is_met(self, snapshot: Snapshot, stores: Collection[str]) -> bool:
        """Whether verified copies at these stores are all that is owed. More stores never make it worse."""
        held = [name for name in stores if name in self._allowed]
        if self._asset.owed.rto_seconds is None:
            return False
        if len({self._domains[name] for name in held}) < self._asset.owed.copies:
            return False
        reach = self._timely(snapshot)
        return all(self._survives(held, lost, reach) for lost in self._losses)

    def problems(self, snapshot: Snapshot, stores: Collection[str]) -> list[str]:
        """What is missing, in sentences; empty when nothing is."""
        owed, held = self._asset.owed, sorted(name for name in stores if name in self._allowed)
        found = []
        domains = {self._domains[name] for name in held}
        if len(domains) < owed.copies:
            found.append(
                f"class {owed.name} owes {owed.copies} copies that fail independently; there are {len(domains)}"
            )
        if owed.rto_seconds is None:
            return [*found, f"class {owed.name} has no RTO of its own, and no rule sets one"]
        reach = self._timely(snapshot)
        matters = domains | {self._layout.domain(site) for site in self._asset.recover_at}
        failing = {lost & matters for lost in self._losses if not self._survives(held, lost, reach)}
        for lost in sorted(failing, key=sorted):
            if not lost:  # it is too slow as things are
                return [*found, self._best(snapshot, held, lost)]
            found.append(f"when {' and '.join(sorted(lost))} is lost, {self._best(snapshot, held, lost)}")
        return found

    def timing(self, snapshot: Snapshot, store: str) -> str:
        """How a restore from there compares with the RTO, in a sentence."""
        return self._best(snapshot, [store], frozenset())

    def _possible_losses(self) -> Iterable[frozenset[str]]:
        layout, asset = self._layout, self._asset
        machines = {layout.domain(site) for site in asset.recover_at}
        domains = sorted({layout.domain(site) for site in layout.sites})
        for lost in map(frozenset, combinations(domains, min(asset.owed.copies - 1, len(domains)))):
            if machines - lost:
                yield lost
        if not machines:
            yield frozenset()  # nothing is ever restored in time then, and that is said

    def _timely(self, snapshot: Snapshot) -> dict[str, frozenset[str]]:
        """Store → domains of the machines that restore from it within the RTO."""
        key = (snapshot.fetch_bytes, snapshot.bytes)
        if key not in self._reach:
            self._reach[key] = {name: self._timely_from(snapshot, name) for name in self._allowed}
        return self._reach[key]

    def _timely_from(self, snapshot: Snapshot, name: str) -> frozenset[str]:
        layout, asset = self._layout, self._asset
        limit = (asset.owed.rto_seconds or 0.0) * asset.rules.margin
        found = set()
        for site in asset.recover_at:
            seconds = restore_seconds(snapshot, asset, layout.stores[name], site, layout.rates)
            if not isinstance(seconds, NotMeasured) and seconds <= limit:
                found.add(layout.domain(site))
        return frozenset(found)

    def _survives(self, held: Iterable[str], lost: frozenset[str], reach: dict[str, frozenset[str]]) -> bool:
        return any(self._domains[name] not in lost and reach[name] - lost for name in held)

    def _best(self, snapshot: Snapshot, held: Iterable[str], lost: frozenset[str]) -> str:
        """The fastest restore that is left, and how it compares; or that none was measured."""
        layout, asset = self._layout, self._asset
        limit = format_duration((asset.owed.rto_seconds or 0.0) * asset.rules.margin)
        left = [name for name in held if self._domains[name] not in lost]
        machines = [site for site in asset.recover_at if layout.domain(site) not in lost]
        if not left or not machines:
            return "no copy is left" if machines else "the asset names no site with machines to restore it to"
        times = []
        for name in left:
            for site in machines:
                seconds = restore_seconds(snapshot, asset, layout.stores[name], site, layout.rates)
                if not isinstance(seconds, NotMeasured):
                    times.append((seconds, name, site))
        if not times:
            return f"NOT_MEASURED: no restore from {', '.join(left)} was measured, so none counts as fast enough"
        seconds, name, site = min(times)
        word = "within" if seconds <= limit_of(asset) else "longer than"
        return f"a restore from {name} to {site} takes {format_duration(seconds)}, {word} the {limit} that it may"


def limit_of(asset: Asset) -> float:
    """Seconds that a restore may take: the RTO but for what its margin leaves to noticing and deciding."""
    return (asset.owed.rto_seconds or 0.0) * asset.rules.margin
