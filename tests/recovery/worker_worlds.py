"""An organisation with sites in folders, a recovery whose runbook leaves traces outside, and workers as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from numpy.random import default_rng

from holdfast.cli.schemas.working import WorkerEvent
from holdfast.config.finding import load_config
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create

STEPS = ("one", "two", "three", "four", "five")
_RUNBOOK = """\
version: 1
steps:
{steps}"""
_STEP = """\
  - id: {name}
    kind: shell
    title: leave a trace
    after: [{after}]
    before: [promote]
    command: [{python}, {trace}, {name}, "{seconds}"]
    done: [grep, -qx, {name}, {traces}]
    no_undo: it is a trace
    rehearse: true
"""
_TRACE = """\
import sys, time
with open({traces!r}, "a") as file:
    file.write(sys.argv[1] + "\\n")
time.sleep(float(sys.argv[2]))
"""


class World:
    """`traces`: a line for each time that a step of the runbook acted."""

    def __init__(self, folder: Path, environment: Mapping[str, str], seconds: float = 0.4) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.traces = folder / "traces"
        self.config = folder / "holdfast.yaml"
        self.traces.touch()
        (folder / "trace.py").write_text(_TRACE.format(traces=str(self.traces)))
        steps = [
            _STEP.format(
                name=name,
                after=before,
                python=sys.executable,
                trace=folder / "trace.py",
                traces=self.traces,
                seconds=seconds,
            )
            for before, name in zip(("verify", *STEPS), STEPS, strict=False)
        ]
        (folder / "book.yaml").write_text(_RUNBOOK.format(steps="".join(steps)))
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(folder / name)}},
            }
            for name in ("home", "north", "south")
        }
        asset = {"class": "training", "place": {"synchronous": ["home"], "asynchronous": ["north", "south"]}}
        recovery = {"asset": "llama", "strategy": "BACKUP_AND_RESTORE", "to": ["north"], "steps": "book.yaml"}
        file = {
            "version": 1,
            "organisation": "acme",
            "sites": sites,
            "assets": {"llama": asset},
            "recoveries": {"llama-north": recovery},
        }
        self.config.write_text(json.dumps(file))
        made = create(str(folder / "home"), environment=self.environment)
        export_keeper(made.vault, "ann", folder / "ann.key")
        saving = declared_save(self.sites(), "llama")
        saving.vault.save("llama", {"w": default_rng(1).normal(size=4096).astype("<f4")}, committed=saving.committed)
        assert SiteFollower(self.sites(), [self.sites().asset("llama")]).run_round().settled

    def sites(self, **more: str) -> DeclaredSites:
        return DeclaredSites(load_config(self.config), self.environment | more)

    def planned(self, target: str = "", *, approved: bool = True) -> PlanFile:
        """A plan that is at the stores; isolated where it has a target."""
        wanted = Wanted("llama-north", isolated=bool(target), target=target)
        recoveries = Recoveries(self.sites())
        file = recoveries.plan(wanted)
        if approved and not target:
            self.approve(file)
        else:
            recoveries.propose(file)
        return file

    def approve(self, file: PlanFile) -> None:
        Recoveries(self.sites(HOLDFAST_KEY_FILE=str(self.folder / "ann.key"))).approve(file, 3600)

    def acted(self) -> Counter[str]:
        return Counter(self.traces.read_text().split())


class Worker:
    """A process of `holdfast worker run`."""

    def __init__(self, world: World, name: str, *arguments: str) -> None:
        self.log = world.folder / f"{name}.jsonl"
        self._out = self.log.open("wb")
        self.errors = world.folder / f"{name}.err"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli.main", "worker", "run", "--json", *arguments],
                cwd=world.folder,
                env={**os.environ, **world.environment, "HOLDFAST_CONFIG": str(world.config)},
                stdout=self._out,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._out.close()

    def events(self) -> list[WorkerEvent]:
        lines = self.log.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line, type=WorkerEvent) for line in lines]

    def said(self, what: str) -> list[WorkerEvent]:
        return [one for one in self.events() if one.what == what]

    def ready(self) -> None:
        eventually(lambda: bool(self.said("started")), f"{self.errors.read_text()}")

    def kill(self) -> None:
        """The whole group: what it started dies, too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


@contextmanager
def workers(world: World, number: int, *arguments: str) -> Iterator[list[Worker]]:
    """So many, ready; ended afterwards, whatever happens."""
    made: list[Worker] = []
    try:
        for at in range(number):
            made.append(Worker(world, f"worker{at}-{time.monotonic_ns()}", *arguments))
        for one in made:
            one.ready()
        yield made
    finally:
        for one in made:
            if one.process.poll() is None:
                one.kill()


def eventually(true: Callable[[], bool], what: str = "", seconds: float = 120.0) -> None:
    """Waits; how long does not matter to the outcome."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s {what}")
        time.sleep(0.1)
