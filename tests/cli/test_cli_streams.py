"""The program as a process of its own: what it imports, pipes that close, terminals, encodings."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal, write_checkpoint

_PROGRAM = [sys.executable, "-m", "holdfast.cli.main"]


@pytest.mark.parametrize("arguments", [["--help"], ["snapshot", "save", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(terminal: Terminal, arguments: list[str]) -> None:
    script = (
        "import sys; from holdfast.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'numpy', 'cryptography', 'rich', 'obstore', 'zstandard', 'msgspec', 'torch'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_looking_at_snapshots_loads_only_what_it_needs(terminal: Terminal, vault: Path) -> None:
    """Neither arrays and codecs, nor the audit log of a vault that has none, nor readers of tokens."""
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    script = (
        "import sys; from holdfast.cli.main import main; code = main(sys.argv[1:]);"
        "loaded = {'.'.join(name.split('.')[:2]) for name in sys.modules};"
        "heavy = {'numpy', 'joserfc', 'yaml', 'rich', 'torch', 'holdfast.audit', 'holdfast.drills'};"
        "print(sorted(heavy & loaded), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "snapshot", "list"], capture_output=True, text=True, check=True
    )
    assert "llama" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_ends_it_quietly(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*_PROGRAM, "snapshot", "list"], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


def test_an_encoding_that_lacks_characters_does_not_stop_it(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "größe")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*_PROGRAM, "snapshot", "list"], capture_output=True, env=environment, check=True)
    assert rb"gr\xf6\xdfe" in done.stdout


def _in_terminal(arguments: list[str], *, interrupt_at: str = "", **environment: str) -> tuple[int, str]:
    """Run on a pseudo-terminal of 80 columns; Ctrl-C is sent when `interrupt_at` has been shown."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*_PROGRAM, *arguments], os.environ | environment)
    shown = b""
    deadline = time.monotonic() + 60
    sent = not interrupt_at
    while time.monotonic() < deadline:
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        try:
            read = os.read(descriptor, 65536)
        except OSError:  # Linux: the other end was closed
            break
        if not read:
            break
        shown += read
        if not sent and interrupt_at.encode() in shown:
            os.kill(pid, signal.SIGINT)
            sent = True
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_gets_a_bar_that_goes_away_and_colours(terminal: Terminal, vault: Path) -> None:
    np.save(terminal.folder / "big.npy", np.random.default_rng(0).normal(size=6_000_000))
    code, shown = _in_terminal(["snapshot", "save", "big.npy", "--asset", "big"], TERM="xterm-256color")
    assert code == 0
    assert "saving" in shown
    assert "of 45.8 MiB" in shown
    assert "\x1b[2K" in shown  # lines of bars are erased
    tail = shown[shown.index("snapshot   ") :]
    assert "\x1b" not in tail
    assert tail.splitlines()[-1].startswith("saved ")
    code, shown = _in_terminal(["snapshot", "show", "nobody"], TERM="xterm-256color")
    assert code == 3
    assert "\x1b[31;1merror:\x1b[0m" in shown
    _, shown = _in_terminal(["snapshot", "show", "nobody"], TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b" not in shown


def test_ctrl_c_breaks_a_save_off_and_nothing_is_visible(terminal: Terminal, vault: Path) -> None:
    for size in (12_000_000, 48_000_000):  # on a machine that is busy with other things, Ctrl-C may come too late
        np.save(terminal.folder / "big.npy", np.random.default_rng(size).normal(size=size))
        save = ["snapshot", "save", "big.npy", "--asset", f"big-{size}"]
        code, shown = _in_terminal(save, interrupt_at="saving", TERM="xterm-256color", NO_COLOR="1")
        if code:
            break
    assert code == 130, shown
    assert "error: interrupted; nothing half-saved is visible" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    listed = terminal.json("snapshot-list", "snapshot", "list")["snapshots"]
    assert save[-1] not in {one["asset"] for one in listed}
    terminal.ok(*save)
