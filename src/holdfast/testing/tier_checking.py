"""Whether each snapshot has what its class owes: judged from the facts alone, sharing nothing with the planner but the
types of the facts.

It is plain on purpose: every loss of `copies - 1` failure domains is tried, and for each a restore from every store
that is left to all machines that are left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import NamedTuple

from holdfast.replication.tiering.facts import Asset, Facts, Snapshot

__all__ = ["Breach", "breaches_of", "seconds_to_restore"]


class Breach(NamedTuple):
    """What a snapshot does not have: `rto`, `copies` or `jurisdiction`."""

    kind: str
    snapshot: str
    lost: tuple[str, ...]
    text: str


def seconds_to_restore(
    facts: Facts, asset: Asset, snapshot: Snapshot, store_name: str, site: str, rates: Mapping[tuple[str, str], float]
) -> float:
    """Infinite where nothing was measured. `rates`: (store, site of the machines) → bytes per second."""
    rate = rates.get((store_name, site), 0.0)
    if rate <= 0 or not asset.verify_bytes_per_second:
        return float("inf")
    store = next(one for one in facts.stores if one.name == store_name)
    wait = store.first_byte_seconds if store.first_byte_seconds is not None else store.price.first_byte_seconds
    return wait + snapshot.fetch_bytes / rate + snapshot.bytes / asset.verify_bytes_per_second


def breaches_of(
    facts: Facts,
    snapshot: Snapshot,
    stores: Collection[str],
    rates: Mapping[tuple[str, str], float],
    *,
    share_of_rto: float = 1.0,
) -> list[Breach]:
    """Of a snapshot that lies, verified, at these stores. `share_of_rto`: what a restore may take of it."""
    asset = next(one for one in facts.assets if one.name == snapshot.asset)
    owed = asset.owed
    site_of = {store.name: store.site for store in facts.stores}
    domain_of = {site.name: site.domain or site.name for site in facts.sites}
    law_of = {site.name: site.jurisdiction for site in facts.sites}
    found = []
    lawful = []
    for store in stores:
        law = law_of[site_of[store]]
        only = owed.only_jurisdictions
        if law in owed.not_in or (only is not None and law not in only):
            found.append(Breach("jurisdiction", snapshot.id, (), f"{store} is in {law}"))
        else:
            lawful.append(store)
    domains = {domain_of[site_of[store]] for store in lawful}
    if len(domains) < owed.copies:
        found.append(Breach("copies", snapshot.id, (), f"{len(domains)} of {owed.copies}"))
    if owed.rto_seconds is None:
        return found
    for lost in combinations(sorted(set(domain_of.values())), owed.copies - 1):
        machines = [site for site in asset.recover_at if domain_of[site] not in lost]
        if asset.recover_at and not machines:
            continue
        best = float("inf")
        for store in lawful:
            if domain_of[site_of[store]] in lost:
                continue
            for site in machines:
                best = min(best, seconds_to_restore(facts, asset, snapshot, store, site, rates))
        if best > owed.rto_seconds * share_of_rto:
            found.append(Breach("rto", snapshot.id, lost, f"{best:.0f} s of {owed.rto_seconds:.0f} s"))
    return found
