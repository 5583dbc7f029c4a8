"""`holdfast serve` as a process of its own, over an organisation in folders whose recovery leaves traces outside."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import urlsplit

from numpy.random import default_rng

from holdfast.cli.main import main
from holdfast.config.finding import load_config
from holdfast.control.audit.auditing import create_log
from holdfast.control.authority.api_key_files import create_api_key
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create

__all__ = ["Asked", "ServedWorld", "Serving", "until"]

PEOPLE = {"ada": ("operator",), "ben": ("operator",), "olga": ("owner",), "tim": ("trainer",)}
_TRACE = """\
import pathlib, sys, time
with open({traces!r}, "a") as file:
    file.write(sys.argv[1] + "\\n")
while sys.argv[2:] and not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.05)
"""


class Asked(NamedTuple):
    """An answer; names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    said: Any


class Serving:
    """One process. `keys`: person → API key."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, keys: Mapping[str, str]) -> None:
        self.process, self.address, self._keys = process, address, keys

    def ask(self, method: str, path: str, person: str = "", body: Any = None, **headers: str) -> Asked:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if person:
            given["Authorization"] = f"Bearer {self._keys[person]}"
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, given | ({"Content-Type": "application/json"} if data else {}))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = "json" in answer.headers.get("Content-Type", "")
        return Asked(
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            json.loads(content) if is_json else content.decode(),
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class ServedWorld:
    """`traces`: a line for each time that a step of the recovery `model-to-b` acted; it waits until there is `go`."""

    def __init__(self, folder: Path, *, drills: bool = False) -> None:
        self.folder, self.traces, self.go = folder, folder / "traces", folder / "go"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.environment |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}
        self.traces.touch()
        (folder / "trace.py").write_text(_TRACE.format(traces=str(self.traces)))
        step = {
            "kind": "shell",
            "title": "leave a trace",
            "before": ["promote"],
            "no_undo": "it is a trace",
            "timeout": "5m",
        }
        command = [sys.executable, str(folder / "trace.py")]
        first = {"id": "first", "after": ["verify"], "command": [*command, "first"]} | step
        second = {"id": "second", "after": ["first"], "command": [*command, "second", str(self.go)]} | step
        second["done"] = ["test", "-e", str(self.go)]
        (folder / "steps.yaml").write_text(json.dumps({"version": 1, "steps": [first, second]}))
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(folder / name)}},
            }
            for name in "abc"
        }
        file: dict[str, Any] = {
            "version": 1,
            "organisation": "acme",
            "sites": sites,
            "assets": {"model": {"class": "training", "place": {"synchronous": ["a"], "asynchronous": ["b", "c"]}}},
            "recoveries": {
                "model-to-b": {"asset": "model", "strategy": "BACKUP_AND_RESTORE", "to": ["b"], "steps": "steps.yaml"}
            },
            "serve": {"vouches": ["keeper"], "targets": [str(folder / "back")]},
        }
        if drills:
            file["drills"] = {"weekly": {"recovery": "model-to-b", "level": "component", "every": "7d"}}
            file["work"] = {"without": ["drill.run"]}  # by schedule: none but those that are asked for
        self.config = folder / "holdfast.yaml"
        self.config.write_text(json.dumps(file))
        with mock.patch.dict(os.environ, self.environment, clear=True):
            made = create(str(folder / "a"))
            if drills:
                create_log(made.vault.handle, origin="acme.example/log")
                assert main(["audit", "append", "--vault", str(folder / "a"), "--action", "opened", "--quiet"]) == 0
            sites_now = DeclaredSites(load_config(self.config))
            saving = declared_save(sites_now, "model")
            weights = {"w": default_rng(1).normal(size=4096).astype("<f4")}
            saving.vault.save("model", weights, committed=saving.committed)
            assert SiteFollower(sites_now, [sites_now.asset("model")]).run_round().settled
            self.keys = {
                name: create_api_key(AuthorityHome(self.environment), name, roles=roles, person=name)[1].text
                for name, roles in PEOPLE.items()
            }

    def acted(self) -> list[str]:
        return self.traces.read_text().split()

    def runs(self) -> set[str]:
        """Runs whose journals lie at any store."""
        return {one.name for site in "abc" for one in (self.folder / site / "runs").glob("*") if one.is_dir()}

    @contextmanager
    def serving(self, *options: str, **environment: str) -> Iterator[Serving]:
        """Until the block ends; on a port that the process chooses."""
        command = [sys.executable, "-m", "holdfast.cli.main", "serve", "--address", "127.0.0.1:0", "--json"]
        log = self.folder / "log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [*command, "--config", str(self.config), "--no-watch", *options],
                env=self.environment | environment,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, log.read_text()[-2000:]
            yield Serving(process, json.loads(line)["address"], self.keys)
        finally:
            process.kill()
            process.wait(30)
            process.stdout.close()


def until(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What it gives as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
    return found
