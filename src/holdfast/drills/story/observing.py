"""Eyes of the demo that know nothing of its plot: who has which snapshot, and does site A still live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK
from holdfast.drills.story.sites import DemoSite
from holdfast.drills.trainer.heartbeat import HEARTBEAT_NAME, read_heartbeat
from holdfast.errors import HoldfastError
from holdfast.vault.format.names import CONFIG, SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import read_root
from holdfast.vault.vault import Vault

__all__ = ["Arrivals", "SiteProbe", "wait_until"]

_LOOK_SECONDS = 0.1


class Arrivals:
    """Watches the stores of all sites, and notes when each snapshot's root appears there."""

    def __init__(self, sites: tuple[DemoSite, ...], vault: Vault, offset: Callable[[], float]) -> None:
        self._sites = sites
        self._vault = vault
        self._offset = offset
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.roots: dict[str, Root] = {}
        self.seen: dict[tuple[str, str], float] = {}  # (site, snapshot id) → offset
        self.news: list[tuple[str, str]] = []
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def at(self, site: str) -> set[str]:
        """Ids of the snapshots whose root is at that site."""
        with self._lock:
            return {snapshot for name, snapshot in self.seen if name == site}

    def take_news(self) -> list[tuple[str, str]]:
        """(site, snapshot id) of what arrived since the last call."""
        with self._lock:
            news, self.news = self.news, []
            return news

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for site in self._sites:
                try:
                    keys = [info.key for info in site.store.list(SNAPSHOTS)]
                    self._note(site, keys)
                except HoldfastError:
                    continue  # a site that is gone tells nothing; the probe is there to notice

    def _note(self, site: DemoSite, keys: list[str]) -> None:
        for key in keys:
            snapshot = key.rsplit("/", 1)[-1]
            if (site.name, snapshot) in self.seen:
                continue
            now = self._offset()
            root = self.roots.get(snapshot) or read_root(self._vault_at(site), key)
            with self._lock:
                self.roots[snapshot] = root
                self.seen[site.name, snapshot] = now
                self.news.append((site.name, snapshot))

    def _vault_at(self, site: DemoSite) -> Handle:
        return Handle(site.store, self._vault.handle.keys)


class SiteProbe:
    """Asks site A for signs of life: a fresh heartbeat of its trainer, and its vault.

    Two failures in a row are a loss.
    """

    def __init__(self, site: DemoSite, *, stale_seconds: float, interval_seconds: float = 0.25) -> None:
        self._site = site
        self._stale_seconds = stale_seconds
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self.lost = threading.Event()
        self.reason = ""
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(self._interval_seconds):
            reason = self._look()
            failures = failures + 1 if reason else 0
            if failures >= 2:
                self.reason = reason
                self.lost.set()
                return

    def _look(self) -> str:
        """Why the site seems lost; empty when it lives. It takes the heartbeat *and* the store to be gone."""
        try:
            age = (SYSTEM_CLOCK.now_ns() - read_heartbeat(self._heartbeat).time_ns) / 1e9
            silent = f"no heartbeat for {age:.1f} s" if age > self._stale_seconds else ""
        except HoldfastError:
            silent = "no heartbeat"
        if not silent:
            return ""
        try:
            next(iter(self._site.store.list(CONFIG)))
        except (HoldfastError, StopIteration):
            return f"{silent}, and its vault does not answer"
        return ""

    @property
    def _heartbeat(self) -> Path:
        return self._site.work / HEARTBEAT_NAME


def wait_until(condition: Callable[[], bool], timeout_seconds: float, *, look_seconds: float = 0.01) -> bool:
    """Poll until the condition holds. False when it did not in time."""
    end = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(look_seconds)
    return True
