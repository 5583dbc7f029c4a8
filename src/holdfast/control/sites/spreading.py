"""Rounds whose packs the machines of a cluster carry, each with its own line and the credentials of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from holdfast.config.words import Reference, Tier
from holdfast.control.bulk.spreading import Bulk
from holdfast.control.bulk.tasks import At
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.lines import says_something
from holdfast.errors import UsageError
from holdfast.fanout import Fanout, WorkerShare
from holdfast.replication.copying.pieces import Carrier

__all__ = ["SiteCarriers"]


class SiteCarriers:
    """Hands the packs of each copy of a round to a `Fanout`. For several threads: each copy is a run of its own."""

    def __init__(self, sites: DeclaredSites, assets: Sequence[DeclaredAsset], fanout: Fanout) -> None:
        """Raises UsageError where a store of these assets cannot be had by other machines as it is declared."""
        self._sites, self._fanout = sites, fanout
        self._lock = threading.Lock()
        self._bulks: list[Bulk] = []
        for name in dict.fromkeys(name for asset in assets if not asset.set_name for name in asset.route.stores):
            self._at(name)

    def carrier(self, source: str, target: str) -> Carrier:
        """For one copy between the stores of these names."""
        bulk = Bulk(self._fanout, progress=self._sites.progress)
        with self._lock:
            self._bulks.append(bulk)
        return bulk.carrier(self._at(source), self._at(target))

    @property
    def workers(self) -> tuple[WorkerShare, ...]:
        """Who has done how much so far, in all copies."""
        with self._lock:
            shares = [share for bulk in self._bulks for share in bulk.workers]
        names = sorted({share.worker for share in shares})
        return tuple(
            WorkerShare(
                name,
                sum(share.pieces for share in shares if share.worker == name),
                sum(share.bytes for share in shares if share.worker == name),
                sum(share.seconds for share in shares if share.worker == name),
            )
            for name in names
        )

    def _at(self, name: str) -> At:
        site, _, tier = name.partition("/")
        declared = self._sites.config.sites[site]
        way = declared.stores[Tier(tier)].ways()[0]
        if says_something(declared.link_called(way.link)):
            raise UsageError(
                f"the link of {site} is limited in {self._sites.loaded.path}, and with --fanout each machine uses a "
                "line of its own",
                hint="leave --fanout out, or sync the assets of other sites: --asset",
            )
        referring = [*way.credentials, *(key for key, value in way.options.items() if isinstance(value, Reference))]
        if referring:
            raise UsageError(
                f"{name} takes `{referring[0]}` from this machine, where no other one can read it",
                hint="with --fanout each machine has credentials of its own, in the cloud's usual places",
            )
        return At(way.url, tuple(sorted((key, str(value)) for key, value in way.options.items())))
