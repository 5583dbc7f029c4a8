"""`holdfast site compute` and `site standby`: what is there, and what stands ready on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from terminal import Terminal

from holdfast.infra.compute.local import LocalMachines
from holdfast.infra.compute.pools import pool_folder
from holdfast.infra.compute.port import Pool

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: onprem
    region: use1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1}}}}
    compute: {{kind: local, shape: large, machines: 1}}
  euw4:
    cloud: onprem
    region: euw4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4}}}}
    compute: [{{kind: local, shape: large, machines: 2, ready: 1, getting: 40s}}{more}]
assets:
  llama:
    class: development
    path: {folder}/data
    place: {{synchronous: [use1], asynchronous: [euw4]}}
    service: {{command: [run], shapes: [large], standby: {{euw4: {folder}/standby}}}}
"""


def _declare(terminal: Terminal, more: str = "") -> None:
    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder, more=more))


def test_machines_are_told_with_who_has_them(terminal: Terminal) -> None:
    _declare(terminal)
    pool = Pool("euw4", "large")
    LocalMachines(pool, pool_folder("acme", pool, os.environ), 2, 1).get(1, "a-run/get-compute-llama", 1)
    found = terminal.json("site-compute", "site", "compute")["pools"]
    assert [(one["site"], one["ready"], one["free"], one["taken"]) for one in found] == [
        ("use1", 0, 1, 0),
        ("euw4", 1, 0, 1),
    ]
    assert found[1]["taken_by"] == ["a-run/get-compute-llama"] and found[1]["getting"] == 40
    said = terminal.ok("site", "compute", "euw4").out
    assert "euw4: large (local): 1 ready, 0 free, 1 taken of 2 machines; getting one: 40" in said
    assert "taken by a-run/get-compute-llama" in said and "use1" not in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_a_pool_that_says_nothing_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _declare(terminal, ", {kind: slurm, shape: small, partition: main}")
    monkeypatch.setenv("SLURM_CONF", "/dev/null")
    found = terminal.json("site-compute", "site", "compute", "euw4", code=1)["pools"][1]
    assert (found["shape"], found["ready"], found["free"]) == ("small", None, None) and "sinfo" in found["problem"]


def test_a_standby_is_filled_once(terminal: Terminal) -> None:
    _declare(terminal)
    (terminal.folder / "data").mkdir()
    (terminal.folder / "data/state").write_text("1")
    terminal.ok("vault", "create", terminal.folder / "use1")
    terminal.ok("snapshot", "save", "data", "--asset", "llama")
    terminal.ok("site", "sync")
    first = terminal.json("site-standby", "site", "standby", "llama")
    assert first["refreshed"] and Path(first["folder"]) == terminal.folder / "standby"
    assert (terminal.folder / "standby/state").read_text() == "1"
    assert not terminal.json("site-standby", "site", "standby", "llama", "--site", "euw4")["refreshed"]
    refused = terminal.run("site", "standby", "llama", "--site", "use1")
    assert refused.code == 3 and "declares no standby of llama at use1" in refused.err
