"""`holdfast train-exec` as a person meets it: what it says, what it refuses, the terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal import Terminal, checked, write_checkpoint

_QUICK = ("--settle", "50ms", "--interval", "50ms")
_EXEC = [sys.executable, "-m", "holdfast.cli.main", "train-exec"]
_SECONDS_MAX = 180.0


def _checkpoint(folder: Path, step: int) -> None:
    write_checkpoint(folder / f"checkpoint-{step}", step)
    (folder / f"checkpoint-{step}/trainer_state.json").write_text(json.dumps({"global_step": step}))


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal.folder / "runs", 5)
    terminal.ok("watch", "runs", "--asset", "llama", "--once", *_QUICK)
    (terminal.folder / "empty").mkdir()
    place = ("--asset", "llama", "--checkpoints", "empty")
    said = terminal.ok("train-exec", *place, "--requeue-on", "75,SIGKILL", "--dry-run", "--", "train", "--secret")
    rows = " ".join(said.out.split())
    assert "would become checkpoint-5 (step 5); there is no complete checkpoint here" in rows
    assert "by Slurm in a job of it, else here, after 75, SIGKILL; 10 times at most" in rows
    assert "SIGTERM leaves 30 s" in rows
    assert "--secret" not in said.out + said.err
    assert [line for line in said.out.splitlines() if len(line) > 80 and str(terminal.folder) not in line] == []
    assert said.last.startswith("dry run: nothing was changed, in ")
    assert list((terminal.folder / "empty").iterdir()) == []
    lines = terminal.ok("train-exec", *place, "--dry-run", "--json", "--", "train").out.splitlines()
    assert [checked("train-exec", line)["topic"] for line in lines] == [
        "restore",
        "watch",
        "save",
        "signals",
        "requeue",
    ]


def test_streams_are_the_commands_and_events_follow_their_schema(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal.folder / "runs", 5)
    script = "cat; echo $HOLDFAST_CHECKPOINT $HOLDFAST_CHECKPOINT_STEP; exit 7"
    options = ["--asset", "llama", "--checkpoints", "runs", "--events", "events", "--json", *_QUICK]
    options += ["--replicate-to", "site-b"]
    ran = subprocess.run([*_EXEC, *options, "--", "sh", "-c", script], input=b"in\n", capture_output=True, check=False)
    assert ran.returncode == 7
    assert ran.stdout.decode() == f"in\n{terminal.folder}/runs/checkpoint-5 5\n"
    lines = ran.stderr.decode().splitlines()
    assert lines == (terminal.folder / "events").read_text().splitlines()
    told = [checked("train-exec", line) for line in lines]
    kinds = [event["event"] for event in told]
    assert kinds[0] == "resuming"
    assert {"started", "saving", "saved"} <= set(kinds)
    assert kinds[-1] == "finished"
    assert told[kinds.index("ended")]["kind"] == "WORKLOAD_EXC"
    assert (told[-1]["code"], told[-1]["durable_step"], told[-1]["unsaved"]) == (7, 5, [])
    [saved] = [event for event in told if event["event"] == "saved"]
    assert [copy["error"] for copy in saved["copies"]] == [""]
    terminal.ok("restore", "llama@step=5", "out", "--vault", "site-b")
    shown = terminal.json("snapshot-show", "snapshot", "show", "llama@step=5")
    assert shown["meta"]["place"] == "checkpoint-5"


@pytest.mark.parametrize(
    ("options", "command", "code"),
    [
        (["--requeue-on", "SIGNONSENSE"], ["true"], 2),
        (["--requeue-by", "exit:0"], ["true"], 2),
        (["--requeue-by", "exit"], ["true"], 2),
        (["--after-notice", "hope"], ["true"], 2),
        (["--policy", "hope"], ["true"], 2),
        (["--grace", "0s"], ["true"], 2),
        (["--events", "no/such/folder/file"], ["true"], 1),
        ([], [], 2),
    ],
)
def test_what_makes_no_sense(
    terminal: Terminal, vault: Path, options: list[str], command: list[str], code: int
) -> None:
    said = terminal.run("train-exec", "--asset", "a", "--checkpoints", "runs", *options, "--", *command)
    assert said.code == code, said


def test_a_program_that_is_not_there_is_told_before_anything_else(terminal: Terminal, vault: Path) -> None:
    said = subprocess.run(
        [*_EXEC, "--asset", "a", "--checkpoints", "runs", "--", "no-such-program"], capture_output=True, check=False
    )
    assert said.returncode == 3
    assert b"there is no program 'no-such-program'" in said.stderr


def test_a_key_that_cannot_read_does_not_start_from_nothing_where_there_is_something(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _checkpoint(terminal.folder / "runs", 5)
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "gpu-1.key"))
    given = [*_EXEC, "--asset", "llama", *_QUICK]
    ran = subprocess.run([*given, "--checkpoints", "runs", "--", "true"], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert b"1 checkpoint saved" in ran.stderr
    ran = subprocess.run([*given, "--checkpoints", "other", "--", "touch", "ran"], capture_output=True, check=False)
    assert ran.returncode == 7
    assert b"this key cannot read them" in ran.stderr
    assert not (terminal.folder / "ran").exists()


def _read_until(terminal: int, text: bytes) -> bytes:
    said = b""
    deadline = time.monotonic() + _SECONDS_MAX
    while text not in said:
        assert time.monotonic() < deadline, said
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError as error:  # the other side was closed
                raise AssertionError(said) from error
    return said


def test_a_terminal_is_the_commands_and_ctrl_c_ends_it(terminal: Terminal, vault: Path) -> None:
    script = "test -t 0 && read line && echo got-$line && exec sleep 600"
    given = [*_EXEC, "--asset", "a", "--checkpoints", "runs", *_QUICK, "--requeue-on", "any", "--", "sh", "-c", script]
    child, master = pty.fork()
    if child == 0:
        os.execv(given[0], given)
    try:
        _read_until(master, b"started, process")
        os.write(master, b"hello\n")
        _read_until(master, b"got-hello")
        os.write(master, b"\x03")
        said = _read_until(master, b"ended with 130")
        assert b"starting again" not in said
        _, status = os.waitpid(child, 0)
        child = 0
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(master)


def test_the_supervisor_is_small_beside_a_training(terminal: Terminal, vault: Path) -> None:
    """While the command runs, this is all that is there: no NumPy, no cryptography, no vault."""
    script = "grep -E 'VmHWM' /proc/$PPID/status; grep -E -c 'numpy|_rust|obstore' /proc/$PPID/maps; true"
    ran = subprocess.run(
        [*_EXEC, "--asset", "a", "--checkpoints", "runs", *_QUICK, "--", "sh", "-c", script],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    peak, heavy = ran.stdout.decode().splitlines()
    assert int(peak.split()[1]) < 64 << 10, peak
    assert heavy == "0"
