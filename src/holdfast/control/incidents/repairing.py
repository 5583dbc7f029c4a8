"""What is tried before anybody is woken: each thing a few times, each decision written down with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.clock import NANOSECONDS
from holdfast.config.detecting_model import Probe, Repair
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Entry, Incident
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import FailedError, HoldfastError

__all__ = ["Repairer", "held_until", "next_repair"]


def next_repair(incident: Incident, repairs: Sequence[Repair], now_ns: int) -> Repair | None:
    """The first that may be tried (once more) now. Pure."""
    for place, repair in enumerate(repairs):
        tried = _tried(incident, repairs, place)
        if len(tried) >= repair.at_most:
            continue
        if tried and now_ns - tried[-1].at < repair.wait * NANOSECONDS:
            return None  # it is waited for what it does, before anything else is tried
        return repair
    return None


def _tried(incident: Incident, repairs: Sequence[Repair], place: int) -> list[Entry]:
    """What was tried of that one. Of several of one kind (two commands) each follows when the one before is used up."""
    before = sum(one.at_most for one in repairs[:place] if one.do == repairs[place].do)
    return [one for one in incident.repairs if one.step == repairs[place].do][before:]


def held_until(incident: Incident, repairs: Sequence[Repair], hold_s: float) -> int:
    """Until when nobody is woken: as long as repairs are left, and what the last one does is waited for, but at most
    `hold_s`. ns. Pure.
    """
    if not repairs:
        return 0
    limit = incident.noticed_at + int(hold_s * NANOSECONDS)
    if any(len(_tried(incident, repairs, place)) < repair.at_most for place, repair in enumerate(repairs)):
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
        number = 1 + len(_tried(incident, probe.repair, next(n for n, one in enumerate(probe.repair) if one is repair)))
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
        from holdfast.config.references import variables_of
        from holdfast.infra.calling.commands import run_command, without_keys

        secret = variables_of(self._sites.config)
        given = without_keys(self._sites.environment)
        given = {name: value for name, value in given.items() if name not in secret}
        ran = run_command(repair.command, given, repair.timeout)
        if ran.code:
            raise FailedError(f"{repair.command[0]} ended with {ran.code}: {ran.said}")
        return f"{repair.command[0]} ended with 0"
