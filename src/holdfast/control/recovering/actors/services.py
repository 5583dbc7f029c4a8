"""Services of assets, as holdfast.yaml declares them: what is run where, on which machines, and what was filled in."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from holdfast.config.compute_model import Service
from holdfast.config.references import variables_of
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.infra.calling.commands import without_keys
from holdfast.infra.compute.pools import pool_at
from holdfast.infra.compute.port import Handle, Launch, Machines

__all__ = ["Services", "data_at_home"]


class Services:
    """Of all assets that have one."""

    def __init__(self, sites: DeclaredSites, hidden: frozenset[str] = frozenset()) -> None:
        """`hidden`: variables that hold secrets, besides those that holdfast.yaml refers to."""
        self._sites = sites
        secret = hidden | variables_of(sites.config)
        self.given = {name: value for name, value in without_keys(sites.environment).items() if name not in secret}
        """What services and commands get of this environment: no key of Holdfast, no secret that it refers to."""
        self._pools: dict[tuple[str, str], Machines] = {}
        self._lock = threading.Lock()

    @property
    def environment(self) -> Mapping[str, str]:
        """Of this process: where secrets are looked up."""
        return self._sites.environment

    @property
    def folder(self) -> Path:
        """Where holdfast.yaml lies: relative names of commands, playbooks and inventories count from there."""
        return self._sites.loaded.folder

    def of(self, asset: str) -> Service:
        """Raises RefusedError for an asset without one."""
        found = self.declared(asset)
        if found is None:
            raise RefusedError(
                f"{self._sites.loaded.path} declares no service of {asset}",
                hint="`service` of the asset says what runs with it: docs/compute.md",
                object_name=asset,
            )
        return found

    def declared(self, asset: str) -> Service | None:
        return self._sites.config.assets[asset].service if asset in self._sites.config.assets else None

    def machines(self, site: str, shape: str) -> Machines:
        """Raises RefusedError for what the site does not have."""
        with self._lock:
            if (site, shape) not in self._pools:
                sites = self._sites
                sites.require_site(site)
                self._pools[site, shape] = pool_at(
                    sites.config.organisation,
                    site,
                    sites.config.sites[site].compute,
                    shape,
                    sites.environment,
                    sites.clock,
                )
            return self._pools[site, shape]

    def pools(self, site: str, asset: str) -> list[Machines]:
        """Those of a site on which the asset may run, the best first."""
        there = [one.shape for one in self._sites.config.sites[site].compute]
        return [self.machines(site, shape) for shape in self.of(asset).shapes if shape in there]

    def fill(self, text: str, asset: str, site: str, run: str, target: Path, number: int) -> str:
        """The places of a text but for {machine}."""
        places = {"target": str(target), "site": site, "asset": asset, "run": run, "machines": str(number)}
        for place, value in places.items():
            text = text.replace(f"{{{place}}}", value)
        return text

    def launch(self, asset: str, site: str, run: str, target: Path, number: int, first: int = 0) -> Launch:
        """What is run on `number` machines, which are numbered from `first` on."""
        service, of = self.of(asset), first + number

        def fill(text: str) -> str:
            return self.fill(text, asset, site, run, target, of)

        given = {"HOLDFAST_RUN": run, "HOLDFAST_ASSET": asset, "HOLDFAST_SITE": site, "HOLDFAST_TARGET": str(target)}
        folder = Path(target if target.is_dir() else target.parent, fill(service.folder) if service.folder else "")
        return Launch(
            asset=asset,
            command=tuple(map(fill, service.command)),
            folder=str(folder),
            environment=self.given | given,
            first=first,
            of=of,
        )

    def at(self, site: str, asset: str) -> list[tuple[Machines, Handle]]:
        """What was started of an asset at a site, and is not stopped."""
        found: list[tuple[Machines, Handle]] = []
        for pool in self.pools(site, asset):
            for handle in pool.services(asset):
                running = pool.running(handle)
                if running.running or not (running.ended_well or running.problems):
                    found.append((pool, handle))
        return found

    def start_at_home(self, asset: str, key: str) -> Handle:
        """At its home, with what lies there: on the best shape that has machines. Raises RefusedError, FailedError."""
        site = self._sites.asset(asset).home_site
        service, target = self.of(asset), data_at_home(self._sites, asset)
        trouble: HoldfastError = RefusedError(f"{site} has no machines on which {asset} may run", object_name=site)
        for pool in self.pools(site, asset):
            try:
                launch = self.launch(asset, site, "", target, service.machines)
                return pool.start(launch, service.machines, key)
            except HoldfastError as error:
                trouble = error
        raise trouble


def data_at_home(sites: DeclaredSites, asset: str) -> Path:
    """`path`, or the newest complete checkpoint below `watch`. Raises NotFoundError, UsageError, FailedError."""
    declared = sites.config.assets[asset]
    if declared.path:
        return Path(sites.loaded.folder, declared.path)
    if not declared.watch:
        raise NotFoundError(
            f"{sites.loaded.path} does not say where the data of {asset} are",
            hint="`path` or `watch` of the asset",
            object_name=asset,
        )
    from holdfast.checkpoints.layouts import find_checkpoints

    folder = Path(sites.loaded.folder, declared.watch)
    complete = [one for one in find_checkpoints(folder) if one.complete]
    if not complete:
        raise NotFoundError(f"{folder} has no complete checkpoint", object_name=str(folder))
    return max(complete, key=lambda one: (one.step if one.step is not None else -1, one.written_ns)).path
