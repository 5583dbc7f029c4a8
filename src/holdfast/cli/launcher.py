"""Runs commands of this program in processes that are forked from one that has everything loaded.

For drills, which play several machines and people: each command is a process with an environment of its own, and can
be killed like any other, without paying for the imports again. Lines of JSON on stdin: `{"id", "argv", "env", "cwd",
"out", "err"}`; on stdout `{"id", "pid"}` when it has begun and `{"id", "code"}` when it has ended (negative: by that
signal). When stdin ends, all that still runs is killed: nothing outlives whoever drills.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from typing import Any, Final

from holdfast.cli.main import NOUNS, commands_of, main

__all__: list[str] = []

_LOADED: Final = (
    "holdfast.cli.facts.moves",
    "holdfast.cli.facts.recoveries",
    "holdfast.cli.facts.sites",
    "holdfast.cli.facts.snapshots",
    "holdfast.cli.schemas",
    "holdfast.cli.views.recoveries",
    "holdfast.control.keys.key_files",
    "holdfast.control.recovering.recovering",
    "holdfast.control.sites.changing",
    "holdfast.control.sites.following",
    "holdfast.control.sites.saving",
    "holdfast.control.snapshots.save_plans",
    "holdfast.control.vaults.opening",
    "holdfast.control.vaults.repairing",
)


def serve() -> int:
    """Until stdin ends."""
    for name in _LOADED:
        importlib.import_module(name)
    for noun in NOUNS:
        commands_of(noun)
    ended, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    running: dict[int, int] = {}
    waiting = b""
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _reap(running)
        if 0 not in ready:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            break
        waiting += data
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            order = json.loads(line)
            running[_begin(order)] = order["id"]
            _tell({"id": order["id"], "pid": next(reversed(running))})
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    return 0


def _begin(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, path in ((1, order["out"]), (2, order["err"])):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            os.dup2(opened, number)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        code = main(order["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001 - nothing may come back out of the fork
        os.write(2, f"error: the command could not be begun: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _tell({"id": running.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _tell(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(serve())
