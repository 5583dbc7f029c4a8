"""Three sites of folders, one asset, two keepers: `keeper` of this machine and `ann`, each on a machine of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.finding import load_config
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create

__all__ = ["World"]

NAMES = ("home", "second", "third")


class World:
    """`declare` writes holdfast.yaml; `machine(name)` gives the sites as somebody sees them from their own machine."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.folder, self.clock = folder, clock
        self.base: dict[str, str] = dict(os.environ)
        self.notes: list[str] = []
        self.declare()
        environment = self.environment("keeper")
        made = create(str(folder / "home"), environment=environment)
        export_keeper(made.vault, "ann", folder / "ann.key")
        self._save(environment)

    def _save(self, environment: Mapping[str, str]) -> None:
        sites = DeclaredSites(load_config(self.folder / "holdfast.yaml"), environment)
        saving = declared_save(sites, "run")
        arrays = {"w": default_rng(1).normal(size=1 << 12).astype("<f4")}
        saving.vault.save("run", arrays, committed=saving.committed)
        assert SiteFollower(sites, [sites.asset("run")]).run_round().settled

    def environment(self, name: str) -> dict[str, str]:
        """Of a machine: its own memory; whoever is not `keeper` has ann's key."""
        own = {f"XDG_{kind}_HOME": str(self.folder / f"{name}-{kind}") for kind in ("STATE", "CACHE")}
        own["XDG_CONFIG_HOME"] = str(self.folder / ("keeper-CONFIG" if name.startswith("keeper") else f"{name}-CONFIG"))
        if not name.startswith("keeper"):
            own["HOLDFAST_KEY_FILE"] = str(self.folder / "ann.key")
        return self.base | own

    def declare(self, **sections: Any) -> None:
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(self.folder / name)}},
            }
            for name in NAMES
        }
        asset = {"class": "training", "place": {"synchronous": ["home"], "asynchronous": list(NAMES[1:])}}
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
        (self.folder / "holdfast.yaml").write_text(json.dumps(file | sections))

    def machine(self, name: str) -> DeclaredSites:
        """Each call is a process of its own, as far as what it remembers goes."""
        loaded = load_config(self.folder / "holdfast.yaml")
        return DeclaredSites(loaded, self.environment(name), clock=self.clock)
