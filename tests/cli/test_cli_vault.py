"""`holdfast vault`: transcripts, JSON, exit codes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint


def test_create_says_where_the_key_is_what_losing_it_means_and_how_to_add_a_second_recipient(
    terminal: Terminal,
) -> None:
    said = terminal.ok("vault", "create", "vault")
    key_file = Path(said.fact("key file"))
    assert key_file.is_file()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert key_file.name == f"{said.fact('vault')}.keeper.key"
    assert "warning: losing the key file loses the data" in said.err
    assert "holdfast key export-reader" in said.err
    assert "HOLDFAST_PASSPHRASE" in said.err
    assert said.last.startswith(f"created vault {said.fact('vault')} in ")


def test_create_tells_the_same_as_json(terminal: Terminal) -> None:
    made = terminal.json("vault-create", "vault", "create", "vault")
    assert made["encrypted"] is True
    assert made["recipients"] == ["keeper"]
    assert Path(made["key_file"]).is_file()
    assert terminal.json("vault-info", "vault", "info", "vault")["vault"] == made["vault"]


def test_create_refuses_a_place_that_holds_a_vault(terminal: Terminal, vault: Path) -> None:
    said = terminal.run("vault", "create", vault)
    assert said.code == 5
    assert said.out == ""
    assert said.err.startswith("error: there is a vault at ")
    assert "hint: " in said.err


def test_a_vault_created_with_a_passphrase_opens_with_it_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "correct horse battery staple")
    made = terminal.json("vault-create", "vault", "create", "vault")
    assert made["recipients"] == ["keeper", "passphrase"]
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "a", "--vault", "vault")
    Path(made["key_file"]).unlink()
    assert terminal.json("vault-info", "vault", "info", "vault")["role"] == "reader"
    monkeypatch.delenv("HOLDFAST_PASSPHRASE")
    said = terminal.run("vault", "info", "vault")
    assert said.code == 7
    assert "there is no keeper's or reader's or writer's key" in said.err


def test_a_vault_without_encryption_says_so_and_is_read_without_a_key(terminal: Terminal) -> None:
    said = terminal.ok("vault", "create", "vault", "--no-encryption")
    assert said.fact("encryption").startswith("none")
    assert "nothing in this vault is secret" in said.err
    Path(said.fact("key file")).unlink()
    assert terminal.json("vault-info", "vault", "info", "vault")["encrypted"] is False


def test_info_shows_assets_members_and_what_the_key_at_hand_is(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "1")
    write_checkpoint(terminal.folder / "ckpt", 2, bad=True)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "2")
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    said = terminal.ok("vault", "info", vault)
    assert said.fact("this key") == "keeper"
    assert said.fact("holds").startswith("2 snapshots, ")
    assert "keeper  read, add, drop, admit" in said.out
    assert "gpu-1   add" in said.out
    info = terminal.json("vault-info", "vault", "info", vault)
    [asset] = info["assets"]
    assert asset["name"] == "llama"
    assert asset["snapshots"] == 2
    assert asset["latest"] > asset["validated"]
    assert [member["role"] for member in info["members"]] == ["keeper", "writer", "reader"]


def test_a_writers_key_sees_no_assets_and_may_not_check(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "gpu-1.key"))
    info = terminal.json("vault-info", "vault", "info", vault)
    assert (info["role"], info["label"], info["assets"]) == ("writer", "gpu-1", None)
    assert "a writer's key reads no snapshots" in terminal.ok("vault", "info", vault).out
    assert terminal.run("vault", "check", vault).code == 7


def test_check_of_a_sound_vault(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    said = terminal.ok("vault", "check", vault)
    assert "sizes only" in said.fact("data")
    assert said.fact("result") == "sound as far as was looked"
    read = terminal.json("vault-check", "vault", "check", vault, "--sample", "50%")
    assert read["sound"] is True
    assert read["data_read"] is True
    assert read["packs_read"] == 1
    assert read["bytes_read"] == sum(path.stat().st_size for path in (vault / "packs").rglob("*") if path.is_file())


def test_check_names_damage_and_the_snapshots_that_need_it_and_exits_4(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")
    [pack] = [path for path in (vault / "packs").rglob("*") if path.is_file()]
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    assert terminal.ok("vault", "check", vault).fact("result").startswith("sound")
    report = terminal.json("vault-check", "vault", "check", vault, "--read-data", code=4)
    [damage] = report["damages"]
    assert damage["object"].endswith(pack.name)
    assert damage["snapshots"] == [saved["snapshot"]["id"]]
    said = terminal.run("vault", "check", vault, "--read-data")
    assert said.code == 4
    assert said.fact("result") == "DAMAGED: 1 object"
    assert saved["snapshot"]["id"][:12] in said.fact("needed by")
    assert "1 damaged object, 1 snapshot hurt" in said.last


@pytest.mark.parametrize("share", ["5", "0%", "101%", "x%", "%"])
def test_check_refuses_a_sample_that_is_no_percentage(terminal: Terminal, vault: Path, share: str) -> None:
    said = terminal.run("vault", "check", vault, "--sample", share)
    assert said.code == 2
    assert "is not a share" in said.err
