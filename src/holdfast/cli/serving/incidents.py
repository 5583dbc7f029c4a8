"""Incidents over a server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.facts.incidents import list_facts, shown_facts
from holdfast.cli.schemas.incidents import IncidentList, IncidentShown
from holdfast.cli.serving.words import Line, Word
from holdfast.control.authority.acting import acting_as
from holdfast.control.incidents.model import Incident
from holdfast.control.incidents.reading import one_of as found_in
from holdfast.control.incidents.reading import opened, shown
from holdfast.control.incidents.silences import Silences
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Operation
from holdfast.vault.vault import Vault

__all__ = ["OPERATIONS", "ListIncidents", "NoteIncident", "ShowIncident"]


class ListIncidents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`open_only`: those that are not resolved."""

    open_only: bool = False
    newest: Annotated[int, Meta(ge=1, le=1000)] = 100


class ShowIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An incident by its id."""

    incident: Word


class NoteIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said about it: one line. Resolving one needs it."""

    incident: Word
    note: Line = ""


def _list(asking: Asking, given: ListIncidents) -> IncidentList:
    with acting_as(asking.principal):
        sites = asking.service.sites()
        vault, log = opened(sites)
        found = (log.open_ones() if given.open_only else log.incidents())[: given.newest]
        return list_facts(found, Silences(sites, vault.handle.keys).current())


def _show(asking: Asking, given: ShowIncident) -> IncidentShown:
    with acting_as(asking.principal):
        vault, log = opened(asking.service.sites())
        return _shown(asking, found_in(log, given.incident), vault)


def _acknowledge(asking: Asking, given: NoteIncident) -> IncidentShown:
    return _shown(
        asking, acting.acknowledge_incident(asking.service, asking.principal, given.incident, given.note), None
    )


def _resolve(asking: Asking, given: NoteIncident) -> IncidentShown:
    return _shown(asking, acting.resolve_incident(asking.service, asking.principal, given.incident, given.note), None)


def _shown(asking: Asking, incident: Incident, vault: Vault | None) -> IncidentShown:
    sites = asking.service.sites()
    vault = vault if vault is not None else opened(sites).vault
    return shown_facts(shown(sites, incident, vault), sites.clock.now_ns())


OPERATIONS = (
    Operation(
        "incident.list", "GET", "/incidents", "incident.show", ListIncidents, IncidentList, _list,
        "The incidents, the newest first.", tag="incidents", pages="incidents", keeps=2,
    ),
    Operation(
        "incident.show", "GET", "/incidents/{incident:str}", "incident.show", ShowIncident, IncidentShown, _show,
        "An incident: what was noticed, what was done.", tag="incidents", keeps=1,
    ),
    Operation(
        "incident.ack", "POST", "/incidents/{incident:str}/acknowledgement", "incident.change", NoteIncident,
        IncidentShown, _acknowledge, "Say that somebody has it in hand.", tag="incidents",
        example={"note": "I am looking at it"},
    ),
    Operation(
        "incident.resolve", "POST", "/incidents/{incident:str}/resolution", "incident.change", NoteIncident,
        IncidentShown, _resolve, "Say that it is over, and why.", tag="incidents", example={"note": "the line is back"},
    ),
)  # fmt: skip
