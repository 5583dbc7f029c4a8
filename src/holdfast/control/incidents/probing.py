"""Looking at everything that is declared, at once and within its time, as one observer.

Looks at addresses and files are in `detection.probes`; here are those that ask the stores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from holdfast.clock import NANOSECONDS
from holdfast.config.detecting_model import Probe
from holdfast.control.recovering.trying import each_at_once
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites, store_name
from holdfast.detection.looks import Look, State
from holdfast.detection.probes.canary import canary_probe
from holdfast.detection.probes.heartbeat import Beat, heartbeat_probe
from holdfast.detection.probes.model import Answer, bad, good, unknown
from holdfast.detection.probes.network import http_probe, tcp_probe
from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.replication.following.exposing import Exposure, Protection

if TYPE_CHECKING:
    from holdfast.control.sites.following import SiteFollower

__all__ = ["Prober", "looks_at"]

_AT_ONCE: Final = 16
_JITTER: Final = 0.1  # of the time between two rounds: observers that start together do not stay together


def looks_at(probe: Probe, label: str) -> bool:
    """Whether this observer looks at it. Alerts come by themselves."""
    return not probe.observers or label in probe.observers


class _Place:
    """One of those that may look at a time. Whoever hangs leaves it to others, and does not give it back once more."""

    def __init__(self, slots: threading.Semaphore) -> None:
        self._slots, self._lock = slots, threading.Lock()
        self._taken = self._left = False

    def __enter__(self) -> None:
        self._slots.acquire()
        with self._lock:
            self._taken = True
            if self._left:  # nobody waits for it any more
                self._slots.release()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        with self._lock:
            if self._taken and not self._left:
                self._slots.release()
            self._left = True


class Prober:
    """`observer`: as which one it looks. `firing`: names of the alerts that are open and that it received itself."""

    def __init__(self, sites: DeclaredSites, observer: str, firing: Callable[[], frozenset[str]]) -> None:
        self._sites, self._observer, self._firing = sites, observer, firing
        self._beats: dict[str, Beat | None] = {}
        self._slots = threading.Semaphore(_AT_ONCE)
        self._hanging: dict[str, _Place] = {}
        self._lock = threading.Lock()
        self._chance = Random(observer)  # noqa: S311 - spreads load, keeps no secret

    def jitter(self, every_s: float) -> float:
        """Seconds to wait more, or less, than `every_s`."""
        return every_s * self._chance.uniform(-_JITTER, _JITTER)

    def look(self, probes: Mapping[str, Probe]) -> dict[str, Look]:
        """One look at each. What takes longer than it may is bad, or unknown where that says nothing of the thing."""
        patience = max((probe.timeout for probe in probes.values()), default=0.0) * 2 + 10.0
        with self._lock:  # who still waits for an earlier answer is not asked once more, and takes no place
            asked = {name: _Place(self._slots) for name in probes if name not in self._hanging}
            self._hanging |= asked

        def one(name: str) -> Answer:
            try:
                with asked[name]:
                    return self._answer(name, probes[name])
            finally:
                with self._lock:
                    self._hanging.pop(name, None)

        answers, problems = each_at_once({name: name for name in asked}, one, patience)
        for name in set(asked) & set(self._hanging):
            asked[name].leave()
        for name in set(probes) - set(asked):
            problems[name] = StoreUnreachableError(f"{name} has not answered since it was asked before")
        now = self._sites.clock.now_ns()
        looks = {}
        for name in probes:
            answer = answers.get(name) or unknown(f"it could not be looked at: {problems[name].message}")
            looks[name] = Look(state=answer.state, at=now, text=answer.text, value=answer.value)
        return looks

    def _answer(self, name: str, probe: Probe) -> Answer:
        match probe.kind:
            case "http":
                return http_probe(probe.url, probe.timeout, probe.status)
            case "tcp":
                return tcp_probe(probe.address, probe.timeout)
            case "heartbeat":
                path = self._sites.loaded.folder / Path(probe.path)
                now = self._sites.clock.now_ns()
                answer, self._beats[name] = heartbeat_probe(path, probe.older_than or 0.0, now, self._beats.get(name))
                return answer
            case "alert":
                return bad("the alert is firing") if probe.alert in self._firing() else good("the alert is not firing")
            case "store":
                return self._stores(probe)
            case "exposure":
                return self._exposure(probe)
            case "snapshot" | "lag":
                return self._arrivals(probe)

    def _stores(self, probe: Probe) -> Answer:
        """Good when every store of the site where snapshots come first is."""
        landing = {asset.at(probe.site) for asset in self._assets_at(probe.site)}
        names = sorted(landing) or [
            store_name(probe.site, tier) for tier in self._sites.config.sites[probe.site].stores
        ]

        def canary(name: str) -> Answer:
            return canary_probe(self._sites.store(name).store, self._observer, self._sites.clock.now_ns())

        answers, problems = each_at_once({name: name for name in names}, canary, probe.timeout)
        for name in names:
            if name in problems:
                return bad(f"{name}: {problems[name].message}")
            if answers[name].state is not State.GOOD:
                return bad(f"{name}: {answers[name].text}")
        slowest = max((one.value or 0.0) for one in answers.values())
        return good(f"{len(names)} stores kept and gave back an object in {slowest:.3f} s", slowest)

    def _assets_at(self, site: str) -> list[DeclaredAsset]:
        return [asset for asset in self._sites.assets.values() if not asset.set_name and site in asset.placement.sites]

    def _exposure(self, probe: Probe) -> Answer:
        asset = self._sites.asset(probe.asset)
        limit = probe.older_than if probe.older_than is not None else asset.owed.rpo.value
        if limit is None:
            return unknown(f"{asset.name} has no RPO, and the probe has no `older_than`")
        try:
            status = self._follower(probe.asset).status()
        except HoldfastError as error:
            return unknown(f"its exposure is not known: {error.message}")
        mine = [one for one in status.exposures if one.asset == asset.name]
        if not mine:
            return unknown("no store says anything of it")
        worst = max(mine, key=_cost)
        if worst.protection is Protection.NONE:
            return bad(f"no other site has anything of it if {worst.site} is lost")
        lost = worst.seconds if worst.seconds is not None else worst.arrived_seconds
        assert lost is not None
        note = "" if worst.protection is Protection.VERIFIED else ", not read back there"
        text = f"if {worst.site} is lost, so are {lost:.0f} s of {limit:.0f} s that are owed{note}"
        return bad(text, lost) if lost > limit else good(text, lost)

    def _arrivals(self, probe: Probe) -> Answer:
        limit = probe.older_than or 0.0
        try:
            status = self._follower(probe.asset).status()
        except HoldfastError as error:
            return unknown(f"the stores do not say: {error.message}")
        arrivals = [one for one in status.arrivals if one.asset == probe.asset]
        if probe.kind == "snapshot":
            newest = max(
                ((one.complete_ns or 0) + (one.lag_ns or 0) for one in arrivals if one.complete_ns is not None),
                default=0,
            )
            if not newest:
                return bad("no store that answers has a snapshot")
            age = max(0.0, (status.now_ns - newest) / NANOSECONDS)
            text = f"the newest snapshot is {age:.0f} s old, and {limit:.0f} s are the limit"
            return bad(text, age) if age > limit else good(text, age)
        there = next((one for one in arrivals if one.site == probe.site), None)
        if there is None:
            return unknown(f"{probe.asset} has no copies at {probe.site}")
        if there.problem:
            return unknown(f"{there.store}: {there.problem}")
        if there.lag_ns is None:
            return good("nothing is owed there") if there.wanted == 0 else bad("nothing is complete there")
        lag = there.lag_ns / NANOSECONDS
        text = f"{lag:.0f} s behind, and {limit:.0f} s are the limit"
        return bad(text, lag) if lag > limit else good(text, lag)

    def _follower(self, asset: str) -> SiteFollower:
        from holdfast.control.sites.following import SiteFollower

        return SiteFollower(self._sites, [self._sites.asset(asset)], verify=False)


def _cost(one: Exposure) -> tuple[bool, float]:
    lost = one.seconds if one.seconds is not None else one.arrived_seconds
    return one.protection is Protection.NONE, lost or 0.0
