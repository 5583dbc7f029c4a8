"""`holdfast replicate`: copies with and without a key, damage, races."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

from holdfast.testing.damage import ended_otherwise


@pytest.fixture
def saved(terminal: Terminal, vault: Path) -> list[Any]:
    """Two snapshots of `llama`, one of `other`."""
    found = []
    for asset, seed in (("llama", 1), ("llama", 2), ("other", 3)):
        write_checkpoint(terminal.folder / asset, seed)
        found.append(terminal.json("snapshot-save", "snapshot", "save", asset, "--asset", asset)["snapshot"])
    return found


def _lose_keys(terminal: Terminal) -> None:
    shutil.rmtree(terminal.folder.parent / "config")


def _damage_a_pack(vault: Path) -> str:
    """The largest pack: that of the first snapshot, on which the second's deltas rest."""
    pack = max((path for path in (vault / "packs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    pack.write_bytes(ended_otherwise(pack.read_bytes()))
    return pack.name


def test_a_copy_opens_with_the_same_key_and_is_not_sent_twice(
    terminal: Terminal, vault: Path, saved: list[Any]
) -> None:
    planned = terminal.json("replicate", "replicate", vault, "site-b", "--dry-run")
    assert not (terminal.folder / "site-b").exists()
    said = terminal.ok("replicate", vault, "site-b", "--limit", "100MiB/s")
    assert said.fact("whole there").startswith("3 snapshots, the newest ")
    assert said.last.startswith(f"replicated to {terminal.folder / 'site-b'} in ")
    again = terminal.json("replicate", "replicate", vault, "site-b")
    assert (again["objects"], again["bytes"]) == (0, 0)
    assert again["mode"] == "snapshots"
    assert again["arrived"] == planned["arrived"] == sorted((one["id"] for one in saved), reverse=True)
    terminal.ok("vault", "check", "site-b", "--read-data")
    terminal.ok("restore", "llama@validated", "out", "--vault", "site-b")


def test_a_dry_run_counts_what_is_then_copied(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    planned = terminal.json("replicate", "replicate", vault, "site-b", "--asset", "llama", "--dry-run")
    done = terminal.json("replicate", "replicate", vault, "site-b", "--asset", "llama")
    indexes = list((terminal.folder / "site-b/index").iterdir())
    assert done["objects"] == planned["objects"] + len(indexes)
    assert done["bytes"] == planned["bytes"] + sum(path.stat().st_size for path in indexes)


def test_one_asset_can_be_chosen(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    done = terminal.json("replicate", "replicate", vault, "site-b", "--asset", "other")
    assert done["arrived"] == [saved[2]["id"]]
    assert terminal.run("restore", "llama", "out", "--vault", "site-b").code == 3
    assert terminal.run("replicate", vault, "site-b", "--asset", "nobody").code == 3


def test_without_a_key_the_vault_is_mirrored(
    terminal: Terminal, vault: Path, saved: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = terminal.folder / "kept"
    shutil.copytree(terminal.folder.parent / "config", kept)
    _lose_keys(terminal)
    planned = terminal.json("replicate", "replicate", vault, "site-b", "--dry-run")
    assert planned["mode"] == "objects"
    done = terminal.json("replicate", "replicate", vault, "site-b")
    assert (done["objects"], done["bytes"]) == (planned["objects"], planned["bytes"])
    assert terminal.run("replicate", vault, "site-b", "--asset", "llama").code == 7
    monkeypatch.setenv("XDG_CONFIG_HOME", str(kept))
    terminal.ok("vault", "check", "site-b", "--read-data")


def test_a_key_that_does_not_open_the_vault_is_an_error_not_a_mirror(
    terminal: Terminal, vault: Path, saved: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _lose_keys(terminal)
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "wrong")
    assert terminal.run("replicate", vault, "site-b").code == 7
    assert not (terminal.folder / "site-b").exists()


def test_damage_at_the_source_is_named_and_the_rest_arrives(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    name = _damage_a_pack(vault)
    done = terminal.json("replicate", "replicate", vault, "site-b", code=4)
    assert [damaged["object"] for damaged in done["damaged"] if damaged["object"].endswith(name)] != []
    assert set(done["arrived"]) | set(done["left_out"]) == {one["id"] for one in saved}
    assert done["left_out"]
    said = terminal.run("replicate", vault, "site-b")
    assert said.code == 4
    assert "at the source, in " in said.last
    assert name in said.out
    for snapshot in done["arrived"]:
        terminal.ok("snapshot", "verify", snapshot, "--vault", "site-b")


def test_a_plan_names_a_pack_that_is_gone(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    pack = next(path for path in (vault / "packs").rglob("*") if path.is_file())
    pack.unlink()
    planned = terminal.json("replicate", "replicate", vault, "site-b", "--dry-run", code=4)
    assert planned["damaged"][0]["object"].endswith(pack.name)
    assert planned["left_out"]


def test_damage_without_a_key_sends_no_root(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    _damage_a_pack(vault)
    _lose_keys(terminal)
    assert terminal.json("replicate", "replicate", vault, "site-b", code=4)["mode"] == "objects"
    assert not (terminal.folder / "site-b/snapshots").exists()


def test_another_vault_at_the_target_is_refused(terminal: Terminal, vault: Path, saved: list[Any]) -> None:
    terminal.ok("vault", "create", "elsewhere")
    for dry in ([], ["--dry-run"]):
        said = terminal.run("replicate", vault, "elsewhere", *dry)
        assert said.code == 5
        assert "holds another vault" in said.err


@pytest.mark.parametrize("with_key", [True, False])
def test_sites_that_were_configured_apart_are_refused(
    terminal: Terminal, vault: Path, saved: list[Any], with_key: bool
) -> None:
    terminal.ok("replicate", vault, "site-b")
    terminal.ok("key", "export-writer", "one", "--vault", vault, "--to", "one.key")
    terminal.ok("key", "export-writer", "two", "--vault", "site-b", "--to", "two.key")
    if not with_key:
        _lose_keys(terminal)
    for dry in ([], ["--dry-run"]):
        said = terminal.run("replicate", vault, "site-b", *dry)
        assert said.code == 5
        assert "was configured by itself" in said.err


@pytest.mark.parametrize("limit", ["fast", "0MiB/s", "10"])
def test_a_limit_must_be_a_rate(terminal: Terminal, vault: Path, saved: list[Any], limit: str) -> None:
    assert terminal.run("replicate", vault, "site-b", "--limit", limit).code == 2


def test_no_vault_at_the_source(terminal: Terminal) -> None:
    assert terminal.run("replicate", "nowhere", "site-b").code == 3
