"""What people do about incidents: each is asked for, signed, and recorded in the audit log."""

from __future__ import annotations

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.incidents.preapproving import StandingApproval, StandingApprovals
from holdfast.control.incidents.reading import one_of, opened
from holdfast.control.incidents.silences import Silences
from holdfast.control.recovering.asking import ask
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import NotFoundError, UsageError
from holdfast.notifying.due import AUTHORITY
from holdfast.notifying.model import Silence
from holdfast.vault.vault import Vault

__all__ = ["acknowledge", "notified", "preapprove", "resolve", "silence"]

_NOTE_MAX = 1000
_ACTION = "incident.change"


def _checked(note: str, needed: bool = False) -> str:
    if len(note) > _NOTE_MAX or (note and not note.isprintable()) or (needed and not note.strip()):
        raise UsageError(f"this is one line of at most {_NOTE_MAX} characters, and says something")
    return note


def _said(
    sites: DeclaredSites, incident: str, deed: Deed, by: str, vault: Vault | None, *, text: str, step: str = "",
    channel: str = "",
) -> Incident:  # fmt: skip
    vault, log = opened(sites, vault)
    found = one_of(log, incident)
    guard(vault, _ACTION)
    vault.handle.keys.require_keeper("saying something about an incident")
    with recorded_on(vault, _ACTION, objects={"said": deed.value}, names={"incident": found.id}):
        return log.say(found.id, deed, by=by, text=text, step=step, channel=channel)


def acknowledge(
    sites: DeclaredSites, incident: str, *, by: str = "", note: str = "", vault: Vault | None = None
) -> Incident:
    """Somebody has it in hand: nobody further is woken, and nothing begins by itself. `by`: a person that is vouched
    for. Raises NotFoundError, RefusedError (it is resolved), PermissionDeniedError, CredentialError.
    """
    return _said(sites, incident, Deed.ACKNOWLEDGED, by, vault, text=_checked(note))


def resolve(sites: DeclaredSites, incident: str, *, by: str = "", note: str, vault: Vault | None = None) -> Incident:
    """It is over, for the reason in `note`. What is still bad opens another one. Raises as `acknowledge`."""
    return _said(sites, incident, Deed.RESOLVED, by, vault, text=_checked(note, needed=True))


def notified(
    sites: DeclaredSites, incident: str, deadline: str, *, by: str = "", note: str = "", vault: Vault | None = None
) -> Incident:
    """An authority was told, as the deadline of that name asks for. Raises NotFoundError, and as `acknowledge`."""
    if deadline not in sites.config.notify.deadlines:
        known = ", ".join(sites.config.notify.deadlines) or "none"
        raise NotFoundError(f"{sites.loaded.path} declares no deadline {deadline!r}", hint=f"it declares {known}")
    step = f"deadline:{deadline}"
    return _said(sites, incident, Deed.TOLD, by, vault, text=_checked(note), step=step, channel=AUTHORITY)


def silence(
    sites: DeclaredSites, matches: str, reason: str, seconds: float, *, by: str = "", vault: Vault | None = None
) -> Silence:
    """Nobody is woken of it for so long, and nothing begins by itself. Raises UsageError, and as `acknowledge`."""
    vault, _ = opened(sites, vault)
    guard(vault, _ACTION)
    with recorded_on(vault, _ACTION, objects={"said": "silence"}, names={"of": matches}):
        return Silences(sites, vault.handle.keys).add(matches, reason, seconds, by)


def preapprove(
    sites: DeclaredSites, recovery: str, *, starter: str, seconds: float, vault: Vault | None = None
) -> StandingApproval:
    """A standing approval; for no time at all: all that were given for this recovery are withdrawn."""
    vault, _ = opened(sites, vault)
    standing = StandingApprovals(sites, vault.handle.keys)
    vault.handle.keys.require_keeper("approving runs that begin by themselves")
    declared = sites.config.recoveries.get(recovery)
    if seconds and declared is not None:
        standing.require_other(starter)
        ask(vault, "approve", recovery, by=starter, to=declared.to[0])
    else:
        guard(vault, _ACTION)
    with recorded_on(vault, "approve", objects={"said": "standing"}, names={"recovery": recovery}):
        return standing.give(recovery, starter, seconds) if seconds else standing.withdraw(recovery)
