"""What commands do with a vault that has an audit log is in it, is copied to the other site, and `check` knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint


def test_commands_leave_their_trail(terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.ok("audit", "create")
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "secret-llama", "--step", "1")
    write_checkpoint(terminal.folder / "ckpt", 2)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "secret-llama", "--step", "2")
    terminal.ok("snapshot", "verify", "secret-llama")
    terminal.ok("restore", "secret-llama", "out")
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    with monkeypatch.context() as there:
        there.setenv("HOLDFAST_KEY_FILE", "gpu-1.key")
        there.setenv("HOLDFAST_AUDIT_KEY_FILE", "not-here.key")
        terminal.ok("snapshot", "save", "ckpt", "--asset", "secret-llama", "--step", "3")
        assert terminal.run("snapshot", "drop", "secret-llama@step=1").code == 7
        assert terminal.run("restore", "secret-llama", "elsewhere").code == 7
    terminal.ok("key", "revoke", "gpu-1", "--vault", vault)
    terminal.ok("key", "rotate", "--vault", vault)
    terminal.ok("snapshot", "drop", "secret-llama@step=1")
    terminal.ok("replicate", vault, "site-b")
    terminal.ok("audit", "append")
    said = terminal.ok("audit", "show")
    rows = sorted(" ".join(line.split()[3:]) for line in said.out.splitlines()[1:])
    expected = [
        "keeper save allowed done",
        "keeper save allowed done",
        "keeper verify allowed done",
        "keeper restore allowed done",
        "keeper key.export-writer allowed done",
        "gpu-1 save allowed done",
        "gpu-1 restore denied decided",
        "gpu-1 drop denied decided",
        "keeper key.revoke allowed done",
        "keeper key.rotate allowed done",
        "keeper drop allowed done",
        "keeper replicate allowed done",
    ]
    assert set(expected) <= set(rows)
    assert terminal.json("audit-verify", "audit", "verify")["sound"]
    terminal.ok("replicate", vault, "site-b")
    assert terminal.json("audit-verify", "audit", "verify", "--vault", "site-b")["size"] == len(rows)
    for place in (vault, terminal.folder / "site-b"):
        assert "does not belong" not in terminal.ok("vault", "check", place).out
        assert not any(b"secret-llama" in path.read_bytes() for path in place.rglob("*") if path.is_file())
