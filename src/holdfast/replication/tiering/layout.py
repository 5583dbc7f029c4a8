"""The facts by name, checked once, with what is asked of them often. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from holdfast.errors import UsageError
from holdfast.replication.tiering.facts import Asset, Facts, Site, Snapshot, Store, Tier
from holdfast.replication.tiering.timing import Rates

__all__ = ["Layout", "COLDNESS"]

_T = TypeVar("_T", Site, Store, Asset)
COLDNESS = {Tier.HOT: 0, Tier.WARM: 1, Tier.COLD: 2}


class Layout:
    """Raises UsageError for names that occur twice or mean nothing: facts that contradict themselves plan nothing."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.now_ns = facts.now_ns
        self.sites = _by_name(facts.sites, "site")
        self.stores = _by_name(facts.stores, "store")
        self.assets = _by_name(facts.assets, "asset")
        self.rates = Rates(facts.rates, facts.now_ns)
        self.snapshots: dict[str, Snapshot] = {}
        self._check()
        self._at_site: dict[str, list[Store]] = {name: [] for name in self.sites}
        for store in sorted(facts.stores, key=lambda one: (COLDNESS[one.tier], one.name)):
            self._at_site[store.site].append(store)

    def stores_at(self, site: str) -> list[Store]:
        """The warmest first."""
        return self._at_site[site]

    def domain(self, site: str) -> str:
        """What the site fails together with."""
        return self.sites[site].fails_with

    def allows(self, asset: Asset, site: str) -> bool:
        """Whether the asset may lie at the site, by its jurisdiction."""
        return asset.owed.allows(self.sites[site].jurisdiction)

    def size_of(self, packs: Iterable[str]) -> int:
        """Bytes of these packs."""
        sizes = self.facts.packs
        return sum(sizes[pack] for pack in packs)

    def objects_of(self, packs: Collection[str]) -> int:
        """Objects that these packs are."""
        each = self.facts.object_bytes
        return sum(-(-self.facts.packs[pack] // each) for pack in packs) if each else len(packs)

    def packs_at(self) -> dict[str, dict[str, int]]:
        """Store → pack → how many snapshots there need it."""
        counts: dict[str, dict[str, int]] = {name: {} for name in self.stores}
        for snapshot in self.facts.snapshots:
            for store in snapshot.at:
                count = counts[store]
                for pack in snapshot.packs:
                    count[pack] = count.get(pack, 0) + 1
        return counts

    def _check(self) -> None:
        for store in self.facts.stores:
            self._known(store.site, self.sites, f"the site of store {store.name}")
        for asset in self.facts.assets:
            if not asset.sites or len(set(asset.sites)) != len(asset.sites):
                raise UsageError(f"asset {asset.name!r} names no site, or one twice")
            for site in (*asset.sites, *asset.recover_at):
                self._known(site, self.sites, f"a site of asset {asset.name!r}")
            if asset.owed.copies < 1 or not 0 < asset.rules.margin <= 1:
                raise UsageError(f"asset {asset.name!r} owes {asset.owed.copies} copies, at a margin that cannot be")
        for snapshot in self.facts.snapshots:
            self._known(snapshot.asset, self.assets, f"the asset of snapshot {snapshot.id}")
            for name in snapshot.at:
                self._known(name, self.stores, f"a store of snapshot {snapshot.id}")
            if snapshot.id in self.snapshots:
                raise UsageError(f"snapshot {snapshot.id} occurs twice among the facts")
            self.snapshots[snapshot.id] = snapshot
            if snapshot.packs - self.facts.packs.keys():
                raise UsageError(f"the size of a pack of snapshot {snapshot.id} is not among the facts")
        for raised in self.facts.raised:
            self._known(raised.store, self.stores, "a store that something is raised to")

    @staticmethod
    def _known(name: str, names: Mapping[str, object], what: str) -> None:
        if name not in names:
            raise UsageError(f"{what} is {name!r}, which is not among the facts")


def _by_name(items: Iterable[_T], what: str) -> dict[str, _T]:
    named: dict[str, _T] = {}
    for item in items:
        if item.name in named:
            raise UsageError(f"there are two facts about {what} {item.name!r}")
        named[item.name] = item
    return named
