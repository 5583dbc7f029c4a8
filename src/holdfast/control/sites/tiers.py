"""Tiers of declared sites: facts from `holdfast.yaml`, the stores and what was measured; plans and moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.control.audit.audited_vault import AuditedVault, recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.raising import CachesFile, RaisedFile
from holdfast.control.sites.rates import FRESH_SECONDS, RatesFile
from holdfast.control.sites.using import Uses, uses_of
from holdfast.economics.own_prices import book_with
from holdfast.errors import HoldfastError, NotFoundError, UsageError
from holdfast.replication.following.views import look
from holdfast.replication.tiering.costing import PlanCost, cost_of_plan
from holdfast.replication.tiering.declared import UNPRICED, Declared, declared
from holdfast.replication.tiering.facts import Asset, Facts
from holdfast.replication.tiering.gathering import gather_snapshots
from holdfast.replication.tiering.moving import Moved, carry_out
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import Decision, Move, TierPlan, Verb
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import resolve
from holdfast.vault.vault import Vault

__all__ = ["SiteTiers", "TiersPlanned"]


class TiersPlanned(NamedTuple):
    """A plan of the chosen assets, with the facts of all. `cost`: None where some price is not known (`no_cost`: why).

    `left_out`: assets and snapshots of which nothing is moved, and why. `unpriced`: stores that count as free, as the
    price book has no row for them.
    """

    facts: Facts
    plan: TierPlan
    cost: PlanCost | None
    no_cost: str
    left_out: dict[str, str]
    unpriced: tuple[str, ...]


class SiteTiers:
    """The tiers of the sites of a file, in the name of whoever opened the vault."""

    def __init__(self, sites: DeclaredSites, assets: Sequence[DeclaredAsset], prices: Path | None = None) -> None:
        """`assets`: the chosen ones. `prices`: a price book whose rows count before the list prices. Raises what
        opening the vault raises, UsageError where none is left, and for a file that is no price book.
        """
        self.book = book_with(prices)
        whole = [asset for asset in assets if asset.placement.stripes is None]
        if not whole:
            raise UsageError("there is no asset with whole copies: stripes lie where they were cut")
        self.sites = sites
        self._chosen = {asset.name: asset for asset in assets}
        self.vault: Vault = sites.open_vault(whole)
        self.rates = RatesFile(sites.config.organisation, sites.environment, sites.progress.note)
        self.raised = RaisedFile(sites.config.organisation, sites.environment, sites.progress.note)
        self.caches = CachesFile(sites.config.organisation, sites.environment, sites.progress.note)

    @property
    def chosen(self) -> list[DeclaredAsset]:
        """The chosen assets, those in stripes left out."""
        return [asset for asset in self._chosen.values() if asset.placement.stripes is None]

    def sites_of(self, asset: str) -> tuple[str, ...]:
        """Where it is declared to lie."""
        return self._chosen[asset].placement.sites

    def handle(self, store: str) -> Handle:
        """The vault at one store, with the keys of the one that was opened."""
        own = self.vault.handle
        return Handle(self.sites.store(store).store, own.keys, own.clock, self.sites.progress, own.workers)

    def plan(self) -> TiersPlanned:
        """What is to be moved now. Reads roots, pointers and manifests; writes nothing."""
        guard(self.vault, "vault.info")
        facts, left_out = self.facts()
        return self.planned(facts, left_out)

    def planned(self, facts: Facts, left_out: Mapping[str, str]) -> TiersPlanned:
        """The plan of these facts, for the chosen assets."""
        plan = self._of_chosen(plan_tiers(facts))
        unpriced = tuple(store.name for store in facts.stores if store.price.source == UNPRICED)
        return self.costed(TiersPlanned(facts, plan, None, "", dict(left_out), unpriced))

    def costed(self, planned: TiersPlanned) -> TiersPlanned:
        """The same with what it costs, if all prices are known."""
        try:
            return planned._replace(cost=cost_of_plan(planned.facts, planned.plan), no_cost="")
        except NotFoundError as error:
            return planned._replace(cost=None, no_cost=error.message)

    def facts(self) -> tuple[Facts, dict[str, str]]:
        """Facts, and what is left out of them: name of an asset, id of a snapshot or key → why."""
        now = self.vault.handle.clock.now_ns()
        uses = self.uses()
        said = declared(self.sites.config, self.book, verify_rates=self.rates.verifying(now, uses.verifying))
        left_out = {name: why for name, why in said.left_out.items() if name in self._chosen}
        near, silent = self._near(said, left_out)
        names = [store.name for store in near.stores]
        homes = {
            asset.name: [store.name for store in near.stores if store.site == asset.sites[0]] for asset in near.assets
        }
        handles = {name: self.handle(name) for name in names if name not in silent}
        # (one snapshot is of one asset, so the homes of all can be asked at once)
        reads = uses.reads_at({name for stores in homes.values() for name in stores})
        found = gather_snapshots(handles, homes, reads=reads) if homes else None
        if found is not None:
            left_out |= {name: why for name, why in found.left_out.items() if not why.endswith("is not declared")}
        facts = Facts(
            now_ns=now,
            book=self.book,
            sites=near.sites,
            stores=near.stores,
            rates=self.rates.rates(names, [site.name for site in near.sites], now, uses.restores),
            assets=near.assets,
            snapshots=found.snapshots if found is not None else (),
            packs=found.packs if found is not None else {},
            raised=tuple(one for one in (*self.raised.read(now), *self.caches.raised(now)) if one.store in handles),
        )
        return facts, left_out

    def uses(self) -> Uses:
        """What restoring, loading and reading back on this machine said of the declared stores."""
        stores = [
            name
            for asset in self.chosen
            for site in asset.placement.sites
            for name in (asset.at(site), *asset.beside(site))
        ]
        return uses_of(self.sites, self.vault.id, dict.fromkeys(stores), self.rates.read().here)

    def _near(self, said: Declared, left_out: dict[str, str]) -> tuple[Declared, set[str]]:
        """What concerns the sites of the chosen assets: others are not asked. Which of their stores do not answer."""
        near = {site for asset in said.assets if asset.name in self._chosen for site in asset.sites}
        striped = {
            asset.at(site)
            for asset in self.sites.assets.values()
            if asset.placement.stripes is not None
            for site in asset.placement.sites
        }
        stores = tuple(store for store in said.stores if store.site in near and store.name not in striped)
        views = look(
            self.vault.handle, [self.sites.store(one.name) for one in stores], [], progress=self.sites.progress
        )
        problems: dict[str, str] = {}
        for name, view in views.items():
            if view.problem is not None:
                problems.setdefault(view.site, f"{name} does not answer ({view.problem.message})")
        problems |= {site: f"{site} is {state.condition.value}" for site, state in self.sites.states.items()}
        assets = []
        for asset in said.assets:
            if not near.issuperset(asset.sites):
                continue
            bad = next((problems[site] for site in asset.sites if site in problems), None)
            if bad is None:
                assets.append(_fresh(asset))
            elif asset.name in self._chosen:
                left_out[asset.name] = f"{bad}: nothing of it is moved until that is over"
        sites = tuple(site for site in said.sites if site.name in near)
        return Declared(sites, stores, tuple(assets), {}), {name for name, view in views.items() if not view.answered}

    def find(self, reference: str) -> str:
        """The id of the snapshot that is meant, by the first store of its asset that has it, its home first. Raises
        NotFoundError, and what the last store raises.
        """
        asset = self._chosen[reference.partition("@")[0]]
        last: HoldfastError | None = None
        for site in asset.placement.sites:
            for name in (asset.at(site), *asset.beside(site)):
                try:
                    return resolve(self.handle(name), reference).id
                except HoldfastError as error:
                    last = error if last is None or isinstance(last, NotFoundError) else last
        assert last is not None
        raise last

    def decisions(self, planned: TiersPlanned, reference: str) -> list[Decision]:
        """What was decided of a snapshot (`asset@ref`), or of all of an asset. Raises NotFoundError."""
        asset, at, _ = reference.partition("@")
        one = self.find(reference) if at else ""
        found = [each for each in planned.plan.decisions if each.asset == asset and one in ("", each.snapshot)]
        if not found:
            refused = next((each.reason for each in planned.plan.refused if each.asset == asset), "")
            why = planned.left_out.get(one) or planned.left_out.get(asset) or refused or "none of its stores has any"
            raise NotFoundError(f"nothing was decided about {reference}: {why}", object_name=reference)
        return found

    def apply(self, planned: TiersPlanned, told: Callable[[str], None] = lambda text: None) -> Moved:
        """Carry the plan out: copy, read back, drop. Broken off anywhere, the next plan goes on from there.

        Raises PermissionDeniedError before anything is written, CredentialError without a keeper's key, RefusedError.
        """
        plan, facts = planned.plan, planned.facts
        self.require_allowed(plan.moves)
        handles = {store.name: self.handle(store.name) for store in facts.stores}
        whole = Moved()
        for verb, asset, store, moves in _steps(plan.moves):
            told(f"{verb.value} {len(moves)} of {asset} {'from' if verb is Verb.DROP else 'at'} {store}")
            action = {Verb.COPY: "replicate", Verb.VERIFY: "verify", Verb.DROP: "drop"}[verb]
            with recorded_on(self.vault, action, names={"asset": asset, "site": store}) as record:
                part = msgspec.structs.replace(plan, moves=tuple(moves))
                moved = carry_out(
                    part, facts, handles, progress=self.sites.progress, unpointed=self.caches.read().keys()
                )
                record.objects |= {"because": "tiers", "done": str(len(moved.done)), "held": str(len(moved.held))}
                if moved.done:
                    record.objects["snapshots"] = ",".join(move.snapshot for move in moved.done)
                if moved.held and not moved.done:
                    record.outcome = "held"
            _add(whole, moved)
        return whole

    def require_allowed(self, moves: Iterable[Move]) -> None:
        """Each copy, each reading back, and each drop for itself. Raises PermissionDeniedError."""
        for asset, store in dict.fromkeys((one.asset, one.store) for one in moves if one.verb is Verb.COPY):
            guard(self.vault, "replicate", asset=asset, to=store.partition("/")[0])
        for asset in dict.fromkeys(one.asset for one in moves if one.verb is Verb.VERIFY):
            guard(self.vault, "verify", asset=asset)
        at: dict[str, Vault] = {}
        for move in moves:
            if move.verb is Verb.DROP:
                if move.store not in at:
                    at[move.store] = self.vault_at(move.store)
                guard(at[move.store], "drop", reference=move.snapshot)

    def vault_at(self, store: str) -> Vault:
        """The vault at one store, recorded like the one that was opened."""
        handle = self.handle(store)
        return AuditedVault(handle, self.vault.journal) if isinstance(self.vault, AuditedVault) else Vault(handle)

    def _of_chosen(self, plan: TierPlan) -> TierPlan:
        mine = self._chosen
        return msgspec.structs.replace(
            plan,
            moves=tuple(one for one in plan.moves if one.asset in mine),
            decisions=tuple(one for one in plan.decisions if one.asset in mine),
            refused=tuple(one for one in plan.refused if one.asset in mine),
            notes=(*plan.notes, _READS),
        )


_READS = "reads are those of this machine: what others read counts as unread"
_NAMED_MAX = 16  # so many ids fit into one entry of the audit log, and each drop is named in one
_ORDER = (Verb.COPY, Verb.VERIFY, Verb.DROP)


def _fresh(asset: Asset) -> Asset:
    """With the age at which measurements of this machine count as none."""
    return msgspec.structs.replace(asset, rules=msgspec.structs.replace(asset.rules, fresh=FRESH_SECONDS))


def _steps(moves: Iterable[Move]) -> Iterable[tuple[Verb, str, str, list[Move]]]:
    """All copies, then what is only read back, then drops; of one asset at one store together."""
    groups: dict[tuple[int, str, str], list[Move]] = {}
    for move in moves:
        groups.setdefault((_ORDER.index(move.verb), move.asset, move.store), []).append(move)
    for (order, asset, store), group in sorted(groups.items(), key=lambda one: one[0][0]):
        size = _NAMED_MAX if _ORDER[order] is Verb.DROP else len(group)
        for first in range(0, len(group), size):
            yield _ORDER[order], asset, store, group[first : first + size]


def _add(whole: Moved, part: Moved) -> None:
    whole.done += part.done
    whole.held |= part.held
    whole.read_back += part.read_back
    for way, (objects, size) in part.copies.items():
        before = whole.copies.get(way, (0, 0))
        whole.copies[way] = before[0] + objects, before[1] + size
