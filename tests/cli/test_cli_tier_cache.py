"""`holdfast tier cache`: filled within a budget, read by restores that nobody told of it, emptied without loss."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from terminal import Terminal

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1, restore: 1s}}}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores:
      hot: {{url: {folder}/euw4-hot, restore: 0s}}
      warm: {{url: {folder}/euw4, restore: 1h}}
classes:
  training: {{rto: 20m, copies: 1}}
assets:
  llama:
    class: training
    home: use1/warm
    place: {{synchronous: [use1], asynchronous: [euw4]}}
"""


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    """Two snapshots at use1, copied to the slow store of euw4, whose fast one is empty; everything measured."""
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    terminal.ok("vault", "create", str(terminal.folder / "use1"))
    for seed in (1, 2):
        _save(terminal, seed)
    terminal.ok("site", "sync")
    terminal.ok("tier", "measure", "--at", "euw4", "--probe", "--store", "euw4/hot", "--store", "euw4/warm")
    return path


def _save(terminal: Terminal, seed: int) -> None:
    folder = terminal.folder / "ckpt"
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, 6 << 20, dtype=np.uint8)
    save_file({"w": noise}, folder / "model.safetensors", metadata={"seed": str(seed)})
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")


def _packs(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "packs").rglob("*") if path.is_file())


def _apply(terminal: Terminal, *given: str, code: int = 0) -> Any:
    return terminal.json("tier-cache", "tier", "cache", "apply", "--site", "euw4", *given, code=code)


def test_a_cache_is_filled_read_without_being_told_and_emptied(
    terminal: Terminal, declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = terminal.json("tier-cache", "tier", "cache", "plan", "--site", "euw4", "--budget", "8MiB")
    assert [move["verb"] for move in plan["moves"]] == ["copy"]
    assert "cheaper" in plan["hold"][0]["why"]  # egress: how fast it is here depends on the machine
    assert not _packs(terminal.folder / "euw4-hot")
    done = _apply(terminal, "--budget", "8MiB")
    newest = done["hold"][0]["snapshot"]
    assert [move["snapshot"] for move in done["done"]] == [newest]
    assert not list((terminal.folder / "euw4-hot").glob("refs/**/*"))  # nothing keeps it there
    status = terminal.json("tier-cache-status", "tier", "cache", "status")
    assert status["caches"][0]["verified"] == [newest]
    assert status["caches"][0]["used"] <= 8 << 20
    assert not [m for m in terminal.json("tier-plan", "tier", "plan")["moves"] if m["store"] == "euw4/hot"]
    # A restore at that site reads its packs there, though the vault is opened at the home.
    monkeypatch.setenv("HOLDFAST_SITE", "euw4")
    told = terminal.ok("restore", "llama", str(terminal.folder / "back"))
    assert "packs are read from" in told.err and "euw4-hot" in told.err
    assert _rates(terminal)[-1]["store"].endswith("euw4-hot")
    assert (terminal.folder / "back" / "model.safetensors").read_bytes() == (
        terminal.folder / "ckpt" / "model.safetensors"
    ).read_bytes()
    cleared = terminal.json("tier-cache", "tier", "cache", "clear", "--site", "euw4")
    assert [(move["verb"], move["store"]) for move in cleared["done"]] == [("drop", "euw4/hot")]
    assert terminal.json("tier-cache-status", "tier", "cache", "status")["caches"] == []
    assert not list((terminal.folder / "euw4-hot" / "snapshots").rglob("*.*"))


def _rates(terminal: Terminal) -> list[Any]:
    log = next(Path(os.environ["XDG_STATE_HOME"]).glob("holdfast/uses/*.jsonl"))
    return [one for line in log.read_text().splitlines() if (one := json.loads(line))["type"] == "gave"]


def test_what_is_wrong_or_gone_in_the_cache_is_read_at_home(terminal: Terminal, declared: Path) -> None:
    _apply(terminal, "--budget", "8MiB")
    pack = max(_packs(terminal.folder / "euw4-hot"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(bytes(data))
    want = (terminal.folder / "ckpt" / "model.safetensors").read_bytes()
    told = terminal.ok("restore", "llama", str(terminal.folder / "one"))
    assert "is not used" in told.err
    assert (terminal.folder / "one" / "model.safetensors").read_bytes() == want
    pack.unlink()
    terminal.ok("restore", "llama", str(terminal.folder / "two"))
    shutil.rmtree(terminal.folder / "euw4-hot")
    terminal.ok("restore", "llama", str(terminal.folder / "three"))
    assert (terminal.folder / "three" / "model.safetensors").read_bytes() == want


def test_the_last_copy_and_the_only_timely_one_are_not_evicted(terminal: Terminal, declared: Path) -> None:
    _apply(terminal, "--budget", "8MiB")
    for name in ("use1", "euw4"):  # whatever else there was is lost
        for path in (terminal.folder / name / "snapshots").rglob("*"):
            if path.is_file():
                path.unlink()
    held = terminal.json("tier-cache", "tier", "cache", "clear", "--site", "euw4", code=1)
    assert held["done"] == []
    assert any("no other store" in one["reason"] for one in held["left_out"])
    assert list((terminal.folder / "euw4-hot" / "snapshots").rglob("*"))


def test_a_newer_snapshot_takes_the_place_of_an_older_within_the_budget(terminal: Terminal, declared: Path) -> None:
    first = _apply(terminal, "--budget", "13MiB")
    assert len(first["hold"]) == 1
    _save(terminal, 3)
    terminal.ok("site", "sync")
    second = _apply(terminal)  # the budget is remembered
    assert second["budget"] == 13 << 20
    assert {(move["verb"], move["snapshot"]) for move in second["done"]} == {
        ("drop", first["hold"][0]["snapshot"]),
        ("copy", second["hold"][0]["snapshot"]),
    }
    _save(terminal, 4)
    terminal.ok("site", "sync")
    third = _apply(terminal, code=1)  # what was evicted lies there until it is collected
    assert any("await collection" in one["reason"] for one in third["left_out"])
    assert sum(path.stat().st_size for path in _packs(terminal.folder / "euw4-hot")) <= 13 << 20


def test_refusals(terminal: Terminal, declared: Path) -> None:
    assert terminal.run("tier", "cache", "plan", "--site", "euw4").code == 2  # no budget yet
    assert terminal.run("tier", "cache", "plan", "--site", "moon", "--budget", "1GiB").code == 3
    done = terminal.run("tier", "cache", "plan", "--site", "use1", "--budget", "1GiB")
    assert (done.code, "copies of llama come to it" in done.err) == (2, True)
    text = declared.read_text()
    declared.write_text(text.replace("copies: 1}", "copies: 1, jurisdiction: {not_in: [EU]}}"))
    refused = terminal.run("tier", "cache", "apply", "--site", "euw4", "--budget", "1GiB")
    assert refused.code != 0
    assert not _packs(terminal.folder / "euw4-hot")
