"""What was noticed and is not resolved, and what was, with everything that was said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.keeping import Told, kept
from holdfast.control.service.reading.shapes import Freshness, Page, Problem, Time, clipped, time_of

if TYPE_CHECKING:
    from holdfast.control.incidents.model import Incident
    from holdfast.control.service.context import Service

__all__ = ["INCIDENTS", "IncidentEvent", "IncidentRow", "IncidentsPage", "incidents_page", "open_now"]

INCIDENTS: Final = "incidents"
_SHOWN: Final = 100
_EVENTS: Final = 60
_FRESH_S: Final = 4.0


class IncidentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said of an incident: `what`, by whom, about which `step`."""

    at: Time
    what: str
    by: str
    step: str
    text: str


class IncidentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `open`, `acknowledged` or `resolved`. `runs`: recoveries that were begun for it. `events`: the newest
    of them, oldest first.
    """

    id: str
    kind: str
    subject: str
    severity: str
    state: str
    title: str
    why: str
    asset: str
    site: str
    fault_at: Time | None
    noticed_at: Time | None
    acknowledged_by: str
    resolved_at: Time | None
    resolved_by: str
    resolution: str
    runs: list[str]
    events: list[IncidentEvent]


class IncidentsPage(Page, frozen=True, kw_only=True):
    """Open ones first, then the newest. `probes`: how many are declared: without any nobody looks, and only what
    other systems report is noticed.
    """

    incidents: list[IncidentRow]
    open: int
    probes: int
    freshness: list[Freshness]
    problem: Problem | None


def incidents_page(service: Service) -> IncidentsPage:
    """From the stores. Where they do not answer, `problem` says so."""
    told = _asked(service, 4.0)
    rows = sorted(told.value, key=lambda one: one.noticed_at or "", reverse=True)
    rows.sort(key=lambda one: one.state == "resolved")
    return IncidentsPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        incidents=rows,
        open=sum(one.state != "resolved" for one in rows),
        probes=len(service.loaded.config.detect.probes),
        freshness=[told.freshness],
        problem=told.problem,
    )


def open_now(service: Service) -> Told[list[IncidentRow]]:
    """Those that are open, as they are known: hardly waited for."""
    told = _asked(service, 0.15)
    return told._replace(value=[one for one in told.value if one.state != "resolved"])


def _asked(service: Service, wait: float) -> Told[list[IncidentRow]]:
    return kept(service, INCIDENTS, lambda: _read(service), [], seconds=_FRESH_S, wait=wait)


def _read(service: Service) -> list[IncidentRow]:
    from holdfast.control.incidents.reading import list_incidents

    return [_row(one) for one in list_incidents(service.sites(), limit=_SHOWN)]


def _row(one: Incident) -> IncidentRow:
    return IncidentRow(
        id=one.id,
        kind=one.kind,
        subject=clipped(one.subject),
        severity=clipped(one.severity, 40),
        state=one.state,
        title=clipped(one.title),
        why=clipped(one.why),
        asset=clipped(one.asset),
        site=clipped(one.site),
        fault_at=time_of(one.fault_at or None),
        noticed_at=time_of(one.noticed_at or None),
        acknowledged_by=clipped(one.acknowledged_by),
        resolved_at=time_of(one.resolved_at or None),
        resolved_by=clipped(one.resolved_by),
        resolution=clipped(one.resolution),
        runs=list(one.runs),
        events=[
            IncidentEvent(
                at=time_of(entry.at) or "",
                what=entry.deed.value,
                by=clipped(entry.by),
                step=clipped(entry.step),
                text=clipped(entry.text or entry.channel),
            )
            for entry in one.entries[-_EVENTS:]
        ],
    )
