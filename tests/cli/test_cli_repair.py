"""`vault repair`, `restore --from`, `snapshot verify --deep` and `--rota`: what a person sees of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from terminal import Terminal


@pytest.fixture
def second(terminal: Terminal, vault: Path) -> Path:
    """A replica of a vault with one asset and two snapshots."""
    folder = terminal.folder / "ckpt"
    folder.mkdir()
    for step in (1, 2):
        (folder / "weights.bin").write_bytes(bytes([step]) * 40_000)
        (folder / "notes.txt").write_text(f"step {step}")
        terminal.ok("snapshot", "save", folder, "--asset", "run", "--step", str(step))
    place = terminal.folder / "second"
    terminal.ok("replicate", vault, place)
    return place


def _packs(vault: Path) -> list[Path]:
    return sorted((vault / "packs").glob("*/*"))


def test_a_sound_vault_needs_no_repair(terminal: Terminal, vault: Path, second: Path) -> None:
    record = terminal.json("vault-repair", "vault", "repair", vault, "--from", second)
    assert record["sound"] and record["fixes"] == [] and record["losses"] == []


def test_damage_is_mended_from_a_replica(terminal: Terminal, vault: Path, second: Path) -> None:
    for pack in _packs(vault):
        pack.write_bytes(pack.read_bytes()[:-50])
    planned = terminal.json("vault-repair", "vault", "repair", vault, "--from", second, "--dry-run", code=4)
    assert {fix["how"] for fix in planned["fixes"]} == {"fetched"} and planned["losses"] == []
    assert terminal.run("vault", "check", vault, "--read-data").code == 4, "a dry run writes nothing"
    said = terminal.ok("vault", "repair", vault, "--from", second)
    assert said.fact("result") == "sound" and str(second) in said.out
    terminal.ok("vault", "check", vault, "--read-data")


def test_what_is_lost_is_told(terminal: Terminal, vault: Path, second: Path) -> None:
    shutil.rmtree(second)
    for pack in _packs(vault):
        pack.unlink()
    record = terminal.json("vault-repair", "vault", "repair", vault, code=4)
    assert len(record["losses"]) == 2 and not record["sound"]
    [weights] = [one for one in record["losses"][0]["files"] if one["path"] == "weights.bin"]
    assert weights["ranges"] == [{"start": 0, "length": 40_000}]
    said = terminal.run("vault", "repair", vault, "--dry-run")
    assert said.code == 4 and "DATA LOST in 2 snapshots" in said.out and "weights.bin: bytes 0+40000" in said.out


def test_a_configuration_that_is_gone_comes_from_the_replica(terminal: Terminal, vault: Path, second: Path) -> None:
    shutil.rmtree(vault / "config")
    assert terminal.run("vault", "info", vault).code == 4
    said = terminal.ok("vault", "repair", vault, "--from", second)
    assert "config/0000000001" in said.err
    terminal.ok("vault", "check", vault, "--read-data")


def test_a_configuration_of_another_vault_is_replaced(terminal: Terminal, vault: Path, second: Path) -> None:
    own = (vault / "config" / "0000000001").read_bytes()
    other = terminal.folder / "other"
    terminal.ok("vault", "create", other)
    shutil.copy(other / "config" / "0000000001", vault / "config" / "0000000001")
    assert terminal.run("vault", "info", vault).code == 7
    planned = terminal.run("vault", "repair", vault, "--from", second, "--dry-run")
    assert planned.code == 7 and "would be fetched" in planned.err
    terminal.ok("vault", "repair", vault, "--from", second)
    assert (vault / "config" / "0000000001").read_bytes() == own


def test_the_place_itself_is_no_copy(terminal: Terminal, vault: Path, second: Path) -> None:
    said = terminal.run("snapshot", "verify", "--rota", "--vault", vault, "--replica", vault, "--dry-run")
    assert said.code == 0 and "own place" in said.err
    record = terminal.json(
        "snapshot-verify-rota",
        "snapshot",
        "verify",
        "--rota",
        "--vault",
        vault,
        "--replica",
        vault,
        "--replica",
        second,
        "--replica",
        second,
        "--dry-run",
    )
    assert {turn["copies"] for turn in record["turns"]} == {2}


def test_another_vault_is_no_replica(terminal: Terminal, vault: Path, second: Path) -> None:
    other = terminal.folder / "other"
    terminal.ok("vault", "create", other)
    for pack in _packs(vault):
        pack.unlink()
    said = terminal.run("vault", "repair", vault, "--from", other)
    assert said.code == 4 and "another vault" in said.err


def test_a_restore_falls_back_to_a_replica(terminal: Terminal, vault: Path, second: Path) -> None:
    for pack in _packs(vault):
        pack.unlink()
    record = terminal.json("restore", "restore", "run", terminal.folder / "out", "--from", second)
    assert (terminal.folder / "out" / "weights.bin").read_bytes() == bytes([2]) * 40_000
    [taken] = record["from_replicas"]
    assert taken["url"] == str(second) and taken["chunks"] > 0


def test_a_restore_knows_where_else_the_vault_was_opened(terminal: Terminal, vault: Path, second: Path) -> None:
    terminal.ok("vault", "info", second)
    for pack in _packs(vault):
        pack.unlink()
    said = terminal.ok("restore", "run", terminal.folder / "out")
    assert str(second) in said.err and "instead" in said.out


def test_verifying_deep_and_in_turn(terminal: Terminal, vault: Path, second: Path) -> None:
    record = terminal.json("snapshot-verify", "snapshot", "verify", "run", "--deep")
    assert record["deep"] == []
    planned = terminal.json("snapshot-verify-rota", "snapshot", "verify", "--rota", "--dry-run", "--replica", second)
    assert [turn["copies"] for turn in planned["turns"]] == [2, 2] and planned["turns"][0]["proven"] is None
    assert planned["turns"][0]["step"] == 1, "the other one was proven a moment ago"
    said = terminal.ok("snapshot", "verify", "--rota", "--count", "1", "--worth", "run=3")
    assert "good" in said.out and "1 snapshot for another time" in said.out
    assert terminal.run("snapshot", "verify").code == 2
    assert terminal.run("snapshot", "verify", "run", "--rota").code == 2
    assert terminal.run("snapshot", "verify", "run", "--dry-run").code == 2


def test_a_rota_ends_with_4_when_a_snapshot_is_damaged(terminal: Terminal, vault: Path, second: Path) -> None:
    for pack in _packs(vault):
        pack.write_bytes(bytes(len(pack.read_bytes())))
    said = terminal.run("snapshot", "verify", "--rota", "--budget", "10MiB")
    assert said.code == 4 and "DAMAGED" in said.out


def test_check_says_how_well_packs_are_proven(terminal: Terminal, vault: Path, second: Path) -> None:
    assert "never on this machine" in terminal.ok("vault", "check", vault).fact("proven")
    assert terminal.ok("vault", "check", vault, "--read-data").fact("proven").startswith("100 % of the packs")
    assert terminal.json("vault-check", "vault", "check", vault)["packs_never_proven"] == 0
