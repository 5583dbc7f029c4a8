"""The trial organisation: sites that are folders, keys, people, machines, and the commands that they give.

Everything lies below one folder: `sites/<site>` (the stores), `keys/`, `machines/<machine>/` (what it remembers),
`work/`, `restored/`, `logs/`, `holdfast.yaml`. A person is a key file; a machine is a state and a cache of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.clock import Clock
from holdfast.drills.trial.commands import Commands, Running, Said
from holdfast.drills.troubles import DrillBroken
from holdfast.units import format_duration

__all__ = ["APPROVER", "DEPUTY", "OPERATOR", "Terms", "Trial", "TrialSite"]

OPERATOR, APPROVER, DEPUTY = "operator", "approver", "deputy"
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONWARNINGS", "LD_LIBRARY_PATH")
PATIENCE_SECONDS: Final = 600.0


class TrialSite(msgspec.Struct, frozen=True, kw_only=True):
    """A site as it is declared, whose only store is a folder here. `link`: as in holdfast.yaml; empty: no limit."""

    name: str
    cloud: str = "onprem"
    region: str = ""
    jurisdiction: str = "EU"
    tier: str = "warm"
    link: dict[str, str] = {}
    url: str = ""
    options: dict[str, str] = {}
    compute: list[dict[str, Any]] = []


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial declares. `sites`: the home first. Times in seconds. `runbook`: the text of one, or empty.

    `asset_more`, `recovery_more`: further words of holdfast.yaml.
    """

    organisation: str
    asset: str
    recovery: str
    sites: tuple[TrialSite, ...]
    asset_class: str = "training"
    strategy: str = "BACKUP_AND_RESTORE"
    to: tuple[str, ...]
    approvers: int = 1
    rpo: float | None = None
    rto: float | None = None
    save_every: float | None = None
    runbook: str = ""
    asset_more: dict[str, Any] = {}

    @property
    def home(self) -> str:
        """Where the asset is written before anything fails."""
        return self.sites[0].name


class Trial:
    """Commands are given in it from `lay_out` until `close`."""

    def __init__(
        self, folder: Path, terms: Terms, environment: Mapping[str, str], clock: Clock, look: Callable[[], None]
    ) -> None:
        """`folder`: there, and empty but for its mark; nothing is written yet. `look`: raises when it is to stop."""
        self.folder, self.terms, self.clock = folder, terms, clock
        self._base = {name: environment[name] for name in _PASSED_ON if name in environment}
        self.look = look
        self._commands: Commands | None = None

    def lay_out(self) -> int:
        """Folders, holdfast.yaml, the launcher of commands, whose pid is returned. Raises DrillBroken."""
        try:
            for name in ("sites", "keys", "work", "restored", "logs", "tmp", "home"):
                (self.folder / name).mkdir(mode=0o700)
        except OSError as error:
            raise DrillBroken(f"{self.folder} cannot be laid out ({error.strerror})") from error
        self.declare()
        logs = self.folder / "logs"
        self._commands = Commands(logs, self.environment(OPERATOR), self.clock, self._looked)
        return self._commands.pid

    @property
    def commands(self) -> Commands:
        """Raises DrillBroken before it was laid out."""
        if self._commands is None:
            raise DrillBroken("the trial was never laid out")
        return self._commands

    def _looked(self) -> None:
        self.look()

    @property
    def config(self) -> Path:
        return self.folder / "holdfast.yaml"

    def store(self, site: str) -> Path:
        """The folder that is the store of a site."""
        return self.folder / "sites" / site

    def key(self, person: str) -> Path:
        return self.folder / "keys" / f"{person}.key"

    def name_of(self, site: str) -> str:
        """As commands call its store: `euw4/warm`."""
        return f"{site}/{next(one.tier for one in self.terms.sites if one.name == site)}"

    def environment(self, person: str, machine: str = "one", **more: str) -> dict[str, str]:
        """Of a command that this person gives on that machine: nothing of the user's own but where programs are."""
        own = self.folder / "machines" / machine
        homes = {f"XDG_{name}_HOME": str(own / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
        fixed = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"), "NO_COLOR": "1"}
        fixed |= {"HOLDFAST_KEY_FILE": str(self.key(person)), "OPENBLAS_NUM_THREADS": "1"}
        return {name: value for name, value in {**self._base, **homes, **fixed, **more}.items() if value}

    def run(self, person: str, *arguments: str | Path, machine: str = "one", **more: str) -> Said:
        """Give a command and wait for its end, whatever it is."""
        words = [os.fspath(argument) for argument in arguments]
        return self.commands.run(words, self.environment(person, machine, **more), self.folder, PATIENCE_SECONDS)

    def start(self, person: str, *arguments: str | Path, machine: str = "one") -> Running:
        """Give a command, and do not wait."""
        words = [os.fspath(argument) for argument in arguments]
        return self.commands.start(words, self.environment(person, machine), self.folder)

    def prepare(self, person: str, *arguments: str | Path, machine: str = "one", **more: str) -> Mapping[str, Any]:
        """A command that belongs to the drill and not to the recovery: raises DrillBroken where it does not work."""
        said = self.run(person, *arguments, machine=machine, **more)
        if said.code != 0:
            words = " ".join(os.fspath(argument) for argument in arguments[:2])
            raise DrillBroken(f"`holdfast {words}` of the drill's own did not work: {said.error}")
        return said.data

    def close(self) -> None:
        """No command of it runs any more."""
        if self._commands is not None:
            self._commands.close()

    def know(self, more: Mapping[str, str]) -> None:
        """Variables that every command of the trial is given from now on."""
        self._base |= more

    def store_of(self, site: str) -> str:
        """The URL of the store of a site: what `--vault` takes."""
        return next(one.url for one in self.terms.sites if one.name == site) or str(self.store(site))

    def declare(self, **changes: Any) -> None:
        """Write holdfast.yaml, with these of its terms changed. Raises DrillBroken."""
        self.terms = msgspec.structs.replace(self.terms, **changes)
        try:
            if self.terms.runbook:
                (self.folder / "runbook.yaml").write_text(self.terms.runbook)
            self.config.write_text(json.dumps(self._declared(), indent=1))
        except OSError as error:
            raise DrillBroken(f"{self.config} cannot be written ({error.strerror})") from error

    def _declared(self) -> dict[str, Any]:
        """JSON is YAML, too."""
        terms = self.terms
        asset: dict[str, Any] = {
            "class": terms.asset_class,
            "place": {"synchronous": [terms.home], "asynchronous": [one.name for one in terms.sites[1:]]},
            **terms.asset_more,
        }
        for name, seconds in (("rpo", terms.rpo), ("rto", terms.rto), ("save_every", terms.save_every)):
            if seconds is not None:
                asset[name] = f"{seconds:.3f}s"
        recovery: dict[str, Any] = {"asset": terms.asset, "strategy": terms.strategy, "to": list(terms.to)}
        recovery["approvers"] = terms.approvers
        if terms.runbook:
            recovery["steps"] = "runbook.yaml"
        return {
            "version": 1,
            "organisation": terms.organisation,
            "sites": {one.name: self._site(one) for one in terms.sites},
            "assets": {terms.asset: asset},
            "recoveries": {terms.recovery: recovery},
        }

    def _site(self, one: TrialSite) -> dict[str, Any]:
        store: dict[str, Any] = {"url": one.url or str(self.store(one.name)), "restore": "1s"}
        if one.options:
            store["options"] = one.options
        declared: dict[str, Any] = {"cloud": one.cloud, "region": one.region or one.name}
        declared |= {"jurisdiction": one.jurisdiction, "stores": {one.tier: store}}
        if one.link:
            declared["link"] = one.link
        if one.compute:
            declared["compute"] = one.compute
        return declared

    def __str__(self) -> str:
        every = self.terms.save_every
        interval = f", saved every {format_duration(every)}" if every else ""
        return f"{self.terms.asset} at {', '.join(one.name for one in self.terms.sites)}{interval}"
