"""`holdfast evidence`: from a recovery to a folder that a stranger verifies, with the log's proofs, and trends."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import TWO_SITES, Terminal, write_checkpoint

SCRIPT = Path(__file__).parents[2] / "docs" / "verify-evidence.py"
_FILE = (
    TWO_SITES
    + """\
assets:
  llama: {{class: training, save_every: 30min, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu: {{asset: llama, strategy: BACKUP_AND_RESTORE, to: [euw4]}}
drills:
  quarterly: {{recovery: llama-to-eu, level: component, every: 90d}}
"""
)


@pytest.fixture
def world(terminal: Terminal) -> Terminal:
    """Two sites with a snapshot, an audit log with a witness, and a rehearsal that has passed."""
    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    write_checkpoint(terminal.folder / "ckpt", 1, tensors=6)
    terminal.ok("vault", "create", terminal.folder / "use1")
    terminal.ok("audit", "create", "--vault", terminal.folder / "use1")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")
    terminal.ok("recover", "plan", "llama-to-eu", "--isolated", "drill", "--out", "plan.json")
    terminal.ok("recover", "run", "plan.json")
    return terminal


def run_of(world: Terminal) -> str:
    return str(json.loads((world.folder / "plan.json").read_text())["run"])


def script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT), str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_from_a_rehearsal_to_a_folder_that_a_stranger_verifies(
    world: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = run_of(world)
    written = world.json("evidence-show", "evidence", "write", run)  # or what the run itself has left
    assert written["evidence"]["outcome"] == "PASSED" and written["signed_by"] == "keeper"
    assert len(written["stores"]) == 2
    assert world.json("evidence-show", "evidence", "write", run) == written  # it is written once
    [row] = world.json("evidence-list", "evidence", "list")["evidence"]
    assert (row["run"], row["outcome"], row["problem"]) == (run, "PASSED", "")
    exported = world.json("evidence-export", "evidence", "export", run, "out", "--controls", "controls.csv")
    names = {"evidence.json", "evidence.html", "evidence.pdf", "journal.json", "manifest.json", "manifest.sig"}
    assert names <= set(exported["evidence"]["files"])
    assert any(proof["of_evidence"] for proof in exported["evidence"]["proven"])
    with (world.folder / "controls.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) > 10
    signer = written["evidence"]["signer"]
    # A stranger: no key, no holdfast.yaml, no store.
    shutil.copytree(world.folder / "out", tmp_path / "stranger")
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / f"empty-{kind}"))
    monkeypatch.chdir(tmp_path)
    verified = world.json("evidence-verify", "evidence", "verify", "stranger", "--signer", signer)
    assert verified["trusted"] and verified["evidence"]["record"] == written["evidence"]["record"]
    alone = script(tmp_path / "stranger", "--signer", signer, "--require-log")
    assert alone.returncode == 0, alone.stderr
    assert "evidence.write done" in alone.stdout and "drill.run done" in alone.stdout
    assert world.run("evidence", "verify", "stranger", "--signer", "0" * 32).code == 7
    assert script(tmp_path / "stranger", "--quorum", "1").returncode == 1
    for proof in sorted((tmp_path / "stranger" / "proofs").iterdir()):
        content = proof.read_bytes()
        for place in range(0, len(content), max(1, len(content) // 9)):
            damaged = bytearray(content)
            damaged[place] ^= 1 << place % 8
            proof.write_bytes(damaged)
            assert world.run("evidence", "verify", "stranger").code in (4, 7), place
        assert script(tmp_path / "stranger").returncode == 1
        proof.write_bytes(content)
    (tmp_path / "stranger" / "evidence.pdf").write_bytes(b"%PDF-1.4 all is well")
    damaged_pdf = world.run("evidence", "verify", "stranger")
    assert damaged_pdf.code == 4 and "evidence.pdf" in damaged_pdf.err
    assert os.listdir(tmp_path / "stranger")


def test_pages_fit_the_terminal_and_trends_tell_what_is_due(world: Terminal) -> None:
    run = run_of(world)
    world.ok("evidence", "write", run)
    for command in (("list",), ("show", run), ("findings",), ("trends", "--svg", "trends.svg")):
        said = world.ok("evidence", *command)
        assert [line for line in said.out.splitlines() if len(line) > 80] == [], command
    assert "NOT_MEASURED" in world.ok("evidence", "show", run).out
    nothing = world.json("evidence-findings", "evidence", "findings")
    assert (nothing["records"], nothing["findings"], nothing["closed"]) == (1, [], 0)
    found = world.json("evidence-trends", "evidence", "trends")
    assert found["records"] == 1 and found["assets"][0]["asset"] == "llama"
    [drill] = found["drills"]
    assert (drill["name"], drill["overdue_seconds"]) == ("quarterly", None)
    assert (world.folder / "trends.svg").read_text().startswith("<svg")


def test_what_cannot_be_is_refused(world: Terminal) -> None:
    run = run_of(world)
    world.ok("evidence", "write", run)
    assert world.run("evidence", "show", "f" * 20).code == 3
    assert world.run("evidence", "show", "nonsense").code == 2
    assert world.run("evidence", "write", "f" * 20).code == 3
    assert world.run("evidence", "export", run, "out", "--controls", "out/controls.csv").code == 2
    world.ok("evidence", "export", run, "out")
    assert world.run("evidence", "export", run, "out").code == 6  # nothing is overwritten
    assert world.run("evidence", "verify", "nowhere").code == 3
    # One store is lost, and the other damaged: then nothing is believed, and the list says so.
    shutil.rmtree(world.folder / "use1" / "evidence")
    kept = world.folder / "euw4" / "evidence" / run / "0000000000"
    assert world.json("evidence-show", "evidence", "show", run)["stores"] == ["euw4/warm"]
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.chmod(0o600)
    kept.write_bytes(data)
    assert world.run("evidence", "show", run).code == 4
    [row] = world.json("evidence-list", "evidence", "list")["evidence"]
    assert "damaged" in row["problem"]
    world.ok("vault", "check", world.folder / "use1")  # evidence is nobody's damage
