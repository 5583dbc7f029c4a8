"""The incidents of an organisation, for pages, the API and the command line."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Incident
from holdfast.control.incidents.opening import open_for_incidents
from holdfast.control.incidents.silences import Silences
from holdfast.control.incidents.telling import notice_of
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import NotFoundError
from holdfast.notifying.due import Timer, next_due, timers
from holdfast.notifying.model import Silence
from holdfast.vault.vault import Vault

__all__ = ["Opened", "Shown", "list_incidents", "open_incidents", "opened", "shown"]


class Opened(NamedTuple):
    """An opened vault, and its incidents as they lie everywhere now."""

    vault: Vault
    log: IncidentLog


class Shown(NamedTuple):
    """An incident with what it sets going: deadlines, when the next message is due (ns), who silenced it."""

    incident: Incident
    timers: list[Timer]
    next_due: int | None
    silences: list[Silence]


def opened(sites: DeclaredSites, vault: Vault | None = None) -> Opened:
    """Raises what opening raises."""
    vault = vault if vault is not None else open_for_incidents(sites)
    log = IncidentLog(sites, vault.handle.keys, sites.clock)
    log.refresh()
    return Opened(vault, log)


def list_incidents(
    sites: DeclaredSites, *, limit: int = 100, open_only: bool = False, vault: Vault | None = None
) -> list[Incident]:
    """The newest first."""
    log = opened(sites, vault).log
    return (log.open_ones() if open_only else log.incidents())[:limit]


def open_incidents(sites: DeclaredSites, vault: Vault | None = None) -> list[Incident]:
    """Those that are not resolved, the newest first."""
    return list_incidents(sites, limit=10_000, open_only=True, vault=vault)


def one_of(log: IncidentLog, incident: str) -> Incident:
    """By its id, or the beginning of one that no other has. Raises NotFoundError."""
    found = [one for one in log.incidents() if one.id.startswith(incident)] if incident else []
    if len(found) > 1 and not any(one.id == incident for one in found):
        raise NotFoundError(
            f"{len(found)} incidents begin with {incident!r}", hint=", ".join(one.id for one in found[:5])
        )
    return log.find(found[0].id if len(found) == 1 else incident)


def shown(sites: DeclaredSites, incident: Incident, vault: Vault) -> Shown:
    """With its deadlines and silences."""
    notify, now = sites.config.notify, sites.clock.now_ns()
    notice = notice_of(incident)
    silences = [one for one in Silences(sites, vault.handle.keys).current() if one.covers(notice, now)]
    return Shown(incident, timers(notice, notify), next_due(notice, notify, now), silences)
