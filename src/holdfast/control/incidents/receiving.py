"""Alerts that come in from Alertmanager: each is one incident from firing to resolved, known by its fingerprint."""

from __future__ import annotations

from typing import Final

from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.incidents.reading import opened
from holdfast.control.sites.declared import DeclaredSites
from holdfast.notifying.alertmanager import Alert, parse
from holdfast.vault.vault import Vault

__all__ = ["KIND", "firing_here", "receive_alerts"]

KIND: Final = "alert"
FIRING: Final = "firing"  # as a step: who took it in after another one had
OURS: Final = "HoldfastIncident"
_SEVERITIES: Final = {"critical": "critical", "page": "critical", "warning": "warning"}


def receive_alerts(
    sites: DeclaredSites, body: bytes, *, vault: Vault | None = None, log: IncidentLog | None = None
) -> list[Incident]:
    """Incidents that were opened or resolved by it. They are durable when this returns: Alertmanager sends again what
    it gets no answer to. Who sends is not asked here. Raises UsageError, and what opening and writing raise.

    Alerts that Holdfast sent to Alertmanager itself come back this way, and are left out.
    """
    alerts = [one for one in parse(body) if one.labels.get("alertname") != OURS]
    if log is None:
        log = opened(sites, vault).log
    return [incident for alert in alerts if (incident := _taken(sites, log, alert)) is not None]


def _taken(sites: DeclaredSites, log: IncidentLog, alert: Alert) -> Incident | None:
    known = log.current(KIND, alert.fingerprint)
    if not alert.firing:
        why = "Alertmanager says that it is resolved"
        return None if known is None else log.say(known.id, Deed.RESOLVED, text=why)
    if known is not None:
        if log.label in _heard_by(known):
            return known
        return log.say(known.id, Deed.SEEN, step=FIRING, text="Alertmanager says so here, too")
    said = alert.annotations
    asset = alert.labels.get("asset", "")
    site = alert.labels.get("site", "")
    name = alert.name or "an alert without a name"
    return log.open_one(
        KIND,
        alert.fingerprint,
        severity=_SEVERITIES.get(alert.labels.get("severity", ""), "info"),
        title=f"{name}: {said.get('summary') or ' '.join(filter(None, (asset, site))) or 'firing'}",
        why=said.get("description") or f"Alertmanager says that {name} is firing",
        asset=asset if asset in sites.config.assets else "",
        site=site if site in sites.config.sites else "",
        fault_at=alert.starts,
        noticed_at=sites.clock.now_ns(),
        labels=alert.labels,
    )


def firing_here(log: IncidentLog, label: str) -> frozenset[str]:
    """Names of the alerts that are open and that whoever holds the key `label` received: others have a voice of their
    own, and one of Alertmanager is one of who took it in.
    """
    return frozenset(
        one.labels.get("alertname", "") for one in log.open_ones() if one.kind == KIND and label in _heard_by(one)
    )


def _heard_by(incident: Incident) -> frozenset[str]:
    """Labels of the keys of all that took it in, whoever was the first."""
    return frozenset(
        one.by.partition("/")[0]
        for one in incident.entries
        if one.deed is Deed.OPENED or (one.deed is Deed.SEEN and one.step == FIRING)
    )
