"""The catalog over a server, as it knows it; an update is work of the queue."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.catalogs import CatalogShown, CatalogStatus
from holdfast.cli.serving.words import AssetName
from holdfast.control.service.acting import workflows_of
from holdfast.control.service.operations import Asking, Nothing, Operation
from holdfast.control.service.reading.catalogue import CataloguePage, catalogue_page
from holdfast.control.workflows import WorkState

__all__ = ["OPERATIONS", "ShowAsset"]


class ShowAsset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An asset, declared or found at a store."""

    asset: AssetName


def _status(asking: Asking, given: Nothing) -> CatalogStatus:
    from holdfast.catalog.asking import overview
    from holdfast.catalog.judging import stand_all
    from holdfast.cli.facts.catalogs import status_facts
    from holdfast.control.service.reading.crediting import drills_of

    service = asking.service
    now = service.clock.now_ns()
    drills = drills_of(service)
    with service.catalog() as connection:
        found, standings = overview(connection), stand_all(connection, now, None, drills.joined)
    return status_facts(service.catalog_place.rpartition("@")[2], found, standings, now)


def _show(asking: Asking, given: ShowAsset) -> CatalogShown:
    from holdfast.catalog.asking import asset_known
    from holdfast.cli.facts.catalogs import shown_facts
    from holdfast.control.service.reading.crediting import drills_of

    service = asking.service
    with service.catalog() as connection:
        found = asset_known(connection, given.asset, service.clock.now_ns(), join=drills_of(service).joined)
    return shown_facts(service.catalog_place.rpartition("@")[2], found)


def _offered(asking: Asking, given: Nothing) -> CataloguePage:
    return catalogue_page(asking.service)


def _update(asking: Asking, given: Nothing) -> WorkState:
    service = asking.service
    key = asking.key or f"{service.clock.now_ns():x}"
    work = f"catalog.update/{asking.principal.kind}/{key}"
    return workflows_of(service).submit("catalog.update", {}, key=work, by=asking.principal.person)


OPERATIONS = (
    Operation(
        "catalog.status", "GET", "/catalog", "objective.show", Nothing, CatalogStatus, _status,
        "What the catalog holds, how old it is, and how many objectives are met by it. Asks no store.", tag="catalog",
        keeps=5,
    ),
    Operation(
        "catalog.show", "GET", "/assets/{asset:str}", "list", ShowAsset, CatalogShown, _show,
        "One asset as the catalog knows it: how it stands, where its snapshots lie, its recoveries and drills.",
        on="asset", tag="assets", keeps=5,
    ),
    Operation(
        "catalog.offered", "GET", "/catalogue", "recover.list", Nothing, CataloguePage, _offered,
        "Recoveries and drills that a team may begin by itself. Asks no store.", tag="catalog", keeps=2,
    ),
    Operation(
        "catalog.update", "POST", "/catalog/updates", "work.change", Nothing, WorkState, _update,
        "Have a worker take in what is new at the stores.", tag="catalog", status=202,
    ),
)  # fmt: skip
