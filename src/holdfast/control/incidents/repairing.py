"""What is tried before anybody is woken: each thing a few times, each decision written down with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.clock import NANOSECONDS
from holdfast.config.detecting_model import Probe, Repair
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import FailedError, HoldfastError

__all__ = ["Repairer", "held_until", "next_repair"]


def next_repair(incident: Incident, repairs: Sequence[Repair], now_ns: int) -> Repair | None:
    """The first that may be tried (once more) now. Pure."""
    for repair in repairs:
        tried = [one for one in incident.repairs if one.step == repair.do]
        if len(tried) >= repair.at_most:
            continue
        if tried and now_ns - tried[-1].at < repair.wait * NANOSECONDS:
            return None  # it is waited for what it does, before anything else is tried
        return repair
    return None


def held_until(incident: Incident, repairs: Sequence[Repair], hold_s: float) -> int:
    """Until when nobody is woken: as long as repairs are left, and what the last one does is waited for, but at most
    `hold_s`. ns. Pure.
    """
    if not repairs:
        return 0
    limit = incident.noticed_at + int(hold_s * NANOSECONDS)
    counts = {repair.do: sum(one.step == repair.do for one in incident.repairs) for repair in repairs}
    if any(counts[repair.do] < repair.at_most for repair in repairs):
        return limit
    last = repairs[-1]
    ended = max((one.at for one in incident.repairs), default=incident.noticed_at)
    return min(limit, ended + int(last.wait * NANOSECONDS))


class Repairer:
    """Tries repairs, one at a time, and writes what came of each to the incident."""

    def __init__(self, sites: DeclaredSites, log: IncidentLog) -> None:
        self._sites, self._log = sites, log

    def consider(self, incident: Incident, probe: Probe) -> Incident:
        """The incident afterwards. Of one that somebody acknowledged nothing is tried: they have it in hand."""
        repair = next_repair(incident, probe.repair, self._sites.clock.now_ns())
        if repair is None or incident.acknowledged_at or not incident.is_open:
            return incident
        number = 1 + sum(one.step == repair.do for one in incident.repairs)
        why = f"attempt {number} of {repair.at_most}, as {incident.title}"
        try:
            said = self._do(repair, probe)
            text = f"{why}: {said}"
        except HoldfastError as error:
            text = f"{why}: it did not work: {error.message}"
        return self._log.say(incident.id, Deed.REPAIRED, step=repair.do, text=text)

    def _do(self, repair: Repair, probe: Probe) -> str:
        match repair.do:
            case "index":
                return self._index(probe.asset)
            case "catalog":
                return self._catalog()
            case "sync":
                return self._sync(probe.asset)
            case "command":
                return self._command(repair)

    def _index(self, asset: str) -> str:
        """What this machine and index objects say of packs is not believed any more: their own footers are read."""
        vault = self._sites.open_vault([self._sites.asset(asset)] if asset else list(self._sites.assets.values()))
        handle = vault.handle
        unread = handle.index.distrust(handle.store, handle.keys, self._sites.progress)
        return f"{len(handle.index.packs())} packs were read anew, {len(unread)} could not be"

    def _catalog(self) -> str:
        from holdfast.control.cataloguing.filling import Cataloguing

        done = Cataloguing(self._sites).update(afresh=True)
        return "the catalog was made anew" + ("" if done.complete else "; some store did not answer")

    def _sync(self, asset: str) -> str:
        from holdfast.control.sites.following import SiteFollower

        done = SiteFollower(self._sites, [self._sites.asset(asset)]).run_round()
        return "one round of copies; " + ("every store has what it owes" if done.settled else "something is still owed")

    def _command(self, repair: Repair) -> str:
        from holdfast.infra.calling.commands import run_command, without_keys

        ran = run_command(repair.command, without_keys(self._sites.environment), repair.timeout)
        if ran.code:
            raise FailedError(f"{repair.command[0]} ended with {ran.code}: {ran.said}")
        return f"{repair.command[0]} ended with 0"
