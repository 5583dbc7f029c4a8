"""Facts about who did what of bulk work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import WorkerFacts

if TYPE_CHECKING:
    from holdfast.control.bulk.spreading import Bulk
    from holdfast.control.sites.spreading import SiteCarriers

__all__ = ["worker_facts"]


def worker_facts(bulk: Bulk | SiteCarriers | None) -> list[WorkerFacts]:
    """Who did how much; nobody where no cluster was asked."""
    return [
        WorkerFacts(worker=clean(one.worker), pieces=one.pieces, bytes=one.bytes, seconds=round(one.seconds, 3))
        for one in (bulk.workers if bulk is not None else ())
    ]
