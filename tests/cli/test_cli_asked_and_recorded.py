"""What was asked too late, too little, or not written down: each of these once was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal, write_checkpoint

from holdfast.control.vaults.opening import open_at


@pytest.fixture
def policies(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = terminal.folder / "authority"
    (folder / "policies").mkdir(parents=True)
    monkeypatch.setenv("HOLDFAST_AUTHORITY", str(folder))
    return folder / "policies" / "own.cedar"


def _saved(terminal: Terminal) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")


def test_a_policy_that_forbids_a_target_stops_replicate(terminal: Terminal, vault: Path, policies: Path) -> None:
    _saved(terminal)
    policies.write_text(
        '@id("never-there") forbid (principal, action == Action::"replicate", resource) '
        'when { context has to && context.to == Site::"forbidden" };\n'
    )
    done = terminal.run("replicate", vault, "forbidden")
    assert done.code == 7
    assert not (terminal.folder / "forbidden").exists()
    terminal.ok("replicate", vault, "allowed")


def test_a_repair_is_asked_for_before_the_configuration_is_written(
    terminal: Terminal, vault: Path, policies: Path
) -> None:
    _saved(terminal)
    terminal.ok("replicate", vault, "copy")
    newest = max((vault / "config").iterdir())
    newest.unlink()
    policies.write_text('@id("no-repair") forbid (principal, action == Action::"repair", resource);\n')
    done = terminal.run("vault", "repair", vault, "--from", "copy")
    assert done.code == 7
    assert not newest.exists()


def test_tensors_that_are_read_are_recorded(terminal: Terminal, vault: Path) -> None:
    terminal.ok("audit", "create")
    opened = open_at(str(vault))
    opened.save("llama", {"w": np.arange(8)})
    assert opened.load("llama")["w"][2] == 2
    terminal.ok("audit", "append")
    rows = [" ".join(line.split()[3:]) for line in terminal.ok("audit", "show").out.splitlines()[1:]]
    assert "keeper read allowed done" in rows


def test_however_many_policies_agree_there_is_a_record(terminal: Terminal, vault: Path, policies: Path) -> None:
    policies.write_text("".join(f'@id("also-{n}") permit (principal, action, resource);\n' for n in range(90)))
    terminal.ok("audit", "create")
    _saved(terminal)
    terminal.ok("audit", "append")
    rows = [" ".join(line.split()[3:]) for line in terminal.ok("audit", "show").out.splitlines()[1:]]
    assert "keeper save allowed done" in rows
