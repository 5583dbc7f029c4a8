"""What the use of a vault says about declared stores: rates that restores measured, and who read which snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.rates import Measurement
from holdfast.control.vaults.uses import Gave, Read, Verified, uses_log
from holdfast.errors import HoldfastError
from holdfast.replication.tiering.facts import NANOSECONDS
from holdfast.stores.protocol import store_identity

__all__ = ["Uses", "uses_of"]

ONE_USE_NS = 3600 * NANOSECONDS


class Uses(NamedTuple):
    """`restores`: (store, site of the machines) → measurements. `verifying`: asset → measurements. `reads`: snapshot →
    store → when (ns). Reads within the same hour are one: a job of many processes is one reader.
    """

    restores: dict[tuple[str, str], list[Measurement]]
    verifying: dict[str, list[Measurement]]
    reads: dict[str, dict[str, list[int]]]

    def reads_at(self, stores: Collection[str]) -> dict[str, list[int]]:
        """Snapshot → when it was read from one of these stores, each use once, in order."""
        found: dict[str, list[int]] = {}
        for snapshot, by_store in self.reads.items():
            times = sorted(at for store, several in by_store.items() if store in stores for at in several)
            if times:
                found[snapshot] = _uses(times)
        return found


def uses_of(sites: DeclaredSites, vault_id: str, stores: Collection[str], here: Collection[str]) -> Uses:
    """What this machine wrote down about the vault at these stores (`use1/hot`).

    `here`: sites to whose machines a measurement belongs that does not say at which one it was made. A file that
    cannot be read costs no more than a note.
    """
    uses = Uses({}, {}, {})
    log = uses_log(vault_id, sites.environment)
    if log is None:
        return uses
    names = _names(sites, stores)
    try:
        for fact in log.read():
            if isinstance(fact, Verified):
                uses.verifying.setdefault(fact.asset, []).append(_measurement(fact))
                continue
            name = names.get(fact.store)
            if name is None:
                continue
            if isinstance(fact, Read):
                uses.reads.setdefault(fact.snapshot, {}).setdefault(name, []).append(fact.at)
                continue
            for site in fact.site.split() or here:
                uses.restores.setdefault((name, site), []).append(_measurement(fact))
    except OSError as error:
        sites.progress.note(f"{log.path} cannot be read ({error.strerror}): restores count as not measured")
    return uses


def _names(sites: DeclaredSites, stores: Collection[str]) -> Mapping[str, str]:
    """Identity → name."""
    found = {}
    for name in stores:
        try:
            found[store_identity(sites.store(name).store)] = name
        except HoldfastError as error:
            sites.progress.note(f"{name}: {error.message}")
    return found


def _measurement(fact: Gave | Verified) -> Measurement:
    return Measurement(bytes=fact.bytes, seconds=fact.seconds, at=fact.at, how=fact.how)


def _uses(times: list[int]) -> list[int]:
    found: list[int] = []
    for at in times:
        if not found or at - found[-1] >= ONE_USE_NS:
            found.append(at)
    return found
