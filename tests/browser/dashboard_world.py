"""An organisation for the dashboard, of real vaults in folders: three sites, four assets that stand differently, runs
that passed and that wait, people with API keys; and the server of it, on a port of this machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import IO, Any
from unittest import mock

from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.authority.api_key_files import create_api_key
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.cataloguing.filling import Cataloguing
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.testing.ports import free_ports

__all__ = ["HOSTILE", "HOSTILE_NAME", "DashboardWorld", "serving"]

HOSTILE = "<img src=x onerror=alert(1)><script>document.title='taken'</script>\"'>"
HOSTILE_NAME = "metric<script>document.title</script>\"'>"
_SITES = {
    "use1": ("aws", "us-east-1", "US"),
    "euw4": ("gcp", "europe-west4", "EU"),
    "weu": ("azure", "westeurope", "EU"),
}
_ASSETS: dict[str, dict[str, Any]] = {
    "llama-pretrain": {"class": "training", "rpo": "6h", "rto": "4h"},
    "reward-model": {"class": "training", "rpo": "2s", "rto": "1h", "replicate_every": "1s", "save_every": "1s"},
    "tokenizer": {"class": "training", "rpo": "7d", "rto": "1s"},
    "feature-store": {"class": "training", "rpo": "1h", "rto": "1h"},
}
PEOPLE = {"ada": ("operator",), "ben": ("operator",), "olga": ("owner",), "audrey": ("auditor",), "tim": ("trainer",)}


class DashboardWorld:
    """`folder`: of everything. `keys`: person → API key. A recovery of `tokenizer` waits until there is a file `go`.
    `log`: what the server said, when it has ended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go = folder / "go"
        self.log = ""
        self.environment = dict(os.environ) | {
            f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE", "DATA")
        }
        for name in [one for one in self.environment if one.startswith("HOLDFAST_")]:
            del self.environment[name]
        self._declare()
        with mock.patch.dict(os.environ, self.environment, clear=True):  # what a machine read back, it remembers
            self._fill()
            self.keys = {
                name: create_api_key(AuthorityHome(self.environment), name, roles=roles, person=name)[1].text
                for name, roles in PEOPLE.items()
            }

    def _declare(self) -> None:
        sites = {
            name: {
                "cloud": cloud,
                "region": region,
                "jurisdiction": where,
                "stores": {"warm": {"url": str(self.folder / "stores" / name), "restore": "10ms"}},
                "link": {"up": "5 Gbit/s", "down": "10 Gbit/s", "price_per_gb": 0.02},
            }
            for name, (cloud, region, where) in _SITES.items()
        }
        place = {"synchronous": ["use1"], "asynchronous": ["euw4", "weu"]}
        assets = {name: {**said, "place": place} for name, said in _ASSETS.items()}
        recoveries = {
            "pretrain-to-europe": {"asset": "llama-pretrain", "strategy": "BACKUP_AND_RESTORE", "to": ["euw4", "weu"]},
            "tokenizer-to-europe": {
                "asset": "tokenizer",
                "strategy": "BACKUP_AND_RESTORE",
                "to": ["euw4"],
                "steps": "waiting.yaml",
            },
        }
        drills = {"weekly-loss": {"recovery": "pretrain-to-europe", "level": "component", "every": "7d"}}
        file = {
            "version": 1,
            "organisation": "acme",
            "sites": sites,
            "assets": assets,
            "recoveries": recoveries,
            "drills": drills,
            "serve": {"vouches": ["keeper"], "targets": [str(self.folder / "targets")]},
        }
        waits = f"import pathlib, time\nwhile not pathlib.Path({str(self.go)!r}).exists(): time.sleep(0.05)"
        step = {
            "id": "network",
            "kind": "shell",
            "title": "wait for the line of {asset}",
            "after": ["verify"],
            "before": ["promote"],
            "command": [sys.executable, "-c", waits],
            "no_undo": "waiting changes nothing",
            "timeout": "5m",
            "attempts": 1,
        }
        (self.folder / "waiting.yaml").write_text(json.dumps({"version": 1, "steps": [step]}))
        self.config = self.folder / "holdfast.yaml"
        self.config.write_text(json.dumps(file))

    def sites(self) -> DeclaredSites:
        return DeclaredSites(load_config(self.config, self.environment), self.environment)

    def _fill(self) -> None:
        (self.folder / "stores").mkdir()
        create(str(self.folder / "stores" / "use1"), environment=self.environment)
        sites = self.sites()
        weights = default_rng(3).normal(size=1 << 15).astype("<f4")
        for asset in ("llama-pretrain", "reward-model", "tokenizer"):
            saving = declared_save(sites, asset)
            for step in range(1, 5 if asset == "llama-pretrain" else 2):
                weights[: 1 << 10] *= 1.01
                saving.vault.save(
                    asset,
                    {
                        "layers.0.weight": weights,
                        "embed.weight": weights[: 1 << 12] * step,
                        f"tensor {HOSTILE}": weights[:8] * step,
                    },
                    step=step * 500,
                    metrics={"loss": 2.9 - 0.2 * step, HOSTILE_NAME: float(step)},
                    metadata={"note": HOSTILE},
                    committed=saving.committed,
                )
            if asset == "llama-pretrain":
                SiteFollower(sites, [sites.asset(asset)]).run_round()
        copied = [sites.asset(name) for name in ("llama-pretrain", "reward-model", "tokenizer")]
        assert SiteFollower(sites, copied).run_round().settled
        saving = declared_save(sites, "feature-store")
        saving.vault.save("feature-store", {"w": weights}, step=1, committed=saving.committed)
        recoveries = Recoveries(sites)
        self.rehearsed = recoveries.plan(
            Wanted("pretrain-to-europe", isolated=True, target=str(self.folder / "rehearsed"))
        )
        recoveries.run(self.rehearsed, "", _quiet)
        Cataloguing(sites).update(afresh=True)


def _quiet(plan: Plan, progress: Progress) -> None: ...


@contextmanager
def serving(world: DashboardWorld) -> Iterator[str]:
    """The address of `holdfast serve`, a process of its own with its worker, until the block ends."""
    [port] = free_ports(1)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "holdfast.cli.main",
            "serve",
            "--address",
            f"127.0.0.1:{port}",
            "--config",
            str(world.config),
        ],
        env=world.environment | {"PYTHONUNBUFFERED": "1"},
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    heard: Queue[str] = Queue()
    assert process.stdout is not None
    lines: list[str] = []

    def listen(stream: IO[str]) -> None:
        for line in stream:
            lines.append(line)
            if found := re.search(r"listening on (https?://\S+)", line):
                heard.put(found[1])
        heard.put("")

    reader = threading.Thread(target=listen, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        address = heard.get(timeout=90)
        assert address, f"the server ended: {''.join(lines)[-2000:]}"
        yield address.rstrip("/")
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()
            process.wait(10)
            reader.join(10)
            process.stdout.close()
        world.log = "".join(lines)
