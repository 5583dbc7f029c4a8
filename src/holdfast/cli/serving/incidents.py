"""Incidents over a server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.serving.words import Line, Word
from holdfast.control.authority.acting import acting_as
from holdfast.control.incidents.model import Incident
from holdfast.control.incidents.reading import find_incident, list_incidents
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Operation

__all__ = ["OPERATIONS", "Incidents", "ListIncidents", "NoteIncident", "ShowIncident"]


class ListIncidents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`open_only`: those that are not resolved."""

    open_only: bool = False
    newest: Annotated[int, Meta(ge=1, le=1000)] = 100


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents, the newest first."""

    incidents: list[Incident]


class ShowIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An incident by its id."""

    incident: Word


class NoteIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said about it: one line. Resolving one needs it."""

    incident: Word
    note: Line = ""


def _list(asking: Asking, given: ListIncidents) -> Incidents:
    with acting_as(asking.principal):
        return Incidents(
            incidents=list_incidents(asking.service.sites(), limit=given.newest, open_only=given.open_only)
        )


def _show(asking: Asking, given: ShowIncident) -> Incident:
    with acting_as(asking.principal):
        return find_incident(asking.service.sites(), given.incident)


def _acknowledge(asking: Asking, given: NoteIncident) -> Incident:
    return acting.acknowledge_incident(asking.service, asking.principal, given.incident, given.note)


def _resolve(asking: Asking, given: NoteIncident) -> Incident:
    return acting.resolve_incident(asking.service, asking.principal, given.incident, given.note)


OPERATIONS = (
    Operation(
        "incident.list", "GET", "/incidents", "incident.show", ListIncidents, Incidents, _list,
        "The incidents, the newest first.", tag="incidents", pages="incidents",
    ),
    Operation(
        "incident.show", "GET", "/incidents/{incident:str}", "incident.show", ShowIncident, Incident, _show,
        "An incident: what was noticed, what was done.", tag="incidents",
    ),
    Operation(
        "incident.ack", "POST", "/incidents/{incident:str}/acknowledgement", "incident.change", NoteIncident,
        Incident, _acknowledge, "Say that somebody has it in hand.", tag="incidents",
        example={"note": "I am looking at it"},
    ),
    Operation(
        "incident.resolve", "POST", "/incidents/{incident:str}/resolution", "incident.change", NoteIncident,
        Incident, _resolve, "Say that it is over, and why.", tag="incidents", example={"note": "the line is back"},
    ),
)  # fmt: skip
