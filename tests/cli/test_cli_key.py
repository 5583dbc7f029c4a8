"""`holdfast key`: members and their key files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint


def test_list_shows_keys_and_no_secret(terminal: Terminal, vault: Path) -> None:
    said = terminal.ok("key", "list")
    [file] = (terminal.folder.parent / "config/holdfast/keys").iterdir()
    vault_id = file.name.partition(".")[0]
    assert f"{vault_id}  keeper  keeper" in said.out
    listed = terminal.json("key-list", "key", "list")
    assert listed["keys"] == [
        {"file": str(file), "vault": vault_id, "role": "keeper", "label": "keeper", "error": None}
    ]
    assert listed["passphrase"] is False
    secrets = [line for line in file.read_text().splitlines() if '"signer"' in line or '"opener"' in line]
    assert len(secrets) == 2
    for secret in secrets:
        assert secret.split('"')[3][:24] not in said.out + said.err


def test_list_goes_on_past_a_file_that_cannot_be_used(terminal: Terminal, vault: Path) -> None:
    folder = terminal.folder.parent / "config/holdfast/keys"
    (folder / "broken.key").write_text("{}")
    (folder / "broken.key").chmod(0o600)
    (folder / "open.key").write_text("{}")
    (folder / "open.key").chmod(0o644)
    listed = terminal.json("key-list", "key", "list", code=7)
    errors = {Path(key["file"]).name: key["error"] for key in listed["keys"]}
    assert "is not a holdfast key file" in errors["broken.key"]
    assert "open to others" in errors["open.key"]
    assert [error for error in errors.values() if error is None] == [None]


def test_list_looks_only_at_the_file_that_is_named(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "absent.key"))
    listed = terminal.json("key-list", "key", "list", code=7)
    assert listed["folder"] is None
    assert [key["file"] for key in listed["keys"]] == [str(terminal.folder / "absent.key")]


def test_list_without_any(terminal: Terminal) -> None:
    assert terminal.ok("key", "list").last.startswith("listed 0 key files in ")


def test_a_writer_saves_and_can_do_nothing_else(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = terminal.json("key-export", "key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    assert made["role"] == "writer"
    file = Path(made["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(file))
    write_checkpoint(terminal.folder / "ckpt", 1)
    said = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "1")
    assert "a writer's key cannot decode" in said.fact("read back")
    plan = terminal.json("snapshot-save-plan", "snapshot", "save", "ckpt", "--asset", "llama", "--dry-run")
    assert plan["parent"] == said.fact("snapshot")
    assert plan["like_parent_files"] == 3
    for arguments in (["snapshot", "list"], ["snapshot", "show", "llama"], ["restore", "llama", "out"]):
        assert terminal.run(*arguments).code == 7
    assert terminal.run("snapshot", "drop", "llama").code == 7
    assert terminal.run("key", "export-reader", "me", "--vault", vault, "--to", "me.key").code == 7
    assert not (terminal.folder / "me.key").exists()


def test_a_reader_restores_and_does_not_save(terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    said = terminal.ok("key", "export-reader", "auditor", "--vault", vault, "--to", "auditor.key")
    assert "warning: the file is secret" in said.err
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "auditor.key"))
    terminal.ok("restore", "llama", "out")
    assert terminal.run("snapshot", "save", "ckpt", "--asset", "llama").code == 7
    assert terminal.run("snapshot", "save", "ckpt", "--asset", "llama", "--dry-run").code == 7


def test_a_taken_label_or_file_is_refused_and_nothing_is_left(terminal: Terminal, vault: Path) -> None:
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    for role in ("writer", "reader"):
        said = terminal.run("key", f"export-{role}", "gpu-1", "--vault", vault, "--to", "again.key")
        assert said.code == 5
        assert not (terminal.folder / "again.key").exists()
    before = terminal.json("vault-info", "vault", "info", vault)["generation"]
    assert terminal.run("key", "export-writer", "gpu-2", "--vault", vault, "--to", "gpu-1.key").code == 5
    assert terminal.json("vault-info", "vault", "info", vault)["generation"] == before
    assert terminal.run("key", "export-writer", "a/b", "--vault", vault, "--to", "x.key").code == 2


def test_a_revoked_writer_is_not_trusted_any_more(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    revoked = terminal.json("key-revoke", "key", "revoke", "gpu-1", "--vault", vault)
    assert revoked["label"] == "gpu-1"
    assert "gpu-1   nothing" in terminal.ok("vault", "info", vault).out
    assert terminal.run("key", "revoke", "gpu-1", "--vault", vault).code == 3
    assert terminal.run("key", "revoke", "keeper", "--vault", vault).code == 5
    terminal.ok("key", "export-reader", "auditor", "--vault", vault, "--to", "auditor.key")
    said = terminal.run("key", "revoke", "auditor", "--vault", vault)
    assert said.code == 5
    assert "cannot be taken back" in said.err


def test_new_keys_are_opened_by_all_members(terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.ok("key", "export-reader", "auditor", "--vault", vault, "--to", "auditor.key")
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    rotated = terminal.json("key-rotate", "key", "rotate", "--vault", vault)
    assert (rotated["epoch"], rotated["members"]) == (2, ["keeper", "auditor"])
    assert "opened by  keeper, auditor" in terminal.ok("key", "rotate", "--vault", vault).out
    write_checkpoint(terminal.folder / "run", 1)
    terminal.ok("snapshot", "save", "run", "--vault", vault, "--asset", "m")
    monkeypatch.setenv("HOLDFAST_KEY_FILE", "auditor.key")
    terminal.ok("restore", "m", "back", "--vault", vault)
    assert terminal.run("key", "rotate", "--vault", vault).code == 7


def test_a_keepers_key_is_renewed(terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = terminal.ok("key", "export-keeper", "keeper-2027", "--vault", vault, "--to", "new.key")
    assert "admitted keeper keeper-2027" in said.err and "do everything" in said.out
    assert terminal.run("key", "revoke", "keeper", "--vault", vault).code == 5
    with monkeypatch.context() as new:
        new.setenv("HOLDFAST_KEY_FILE", "new.key")
        said = terminal.ok("key", "revoke", "keeper", "--vault", vault)
        assert "keeper can still open the vault" in said.err
        terminal.ok("key", "remove-recipient", "keeper", "--vault", vault)
        terminal.ok("key", "rotate", "--vault", vault)
        terminal.ok("key", "export-writer", "gpu-9", "--vault", vault, "--to", "gpu-9.key")
    assert terminal.run("key", "export-writer", "gpu-8", "--vault", vault, "--to", "gpu-8.key").code == 7
