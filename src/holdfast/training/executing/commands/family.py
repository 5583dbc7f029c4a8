"""Who belongs to a command: its process group, its descendants, and what its dead left behind; as `/proc` tells.

Ranks that torchrun starts lead sessions of their own, so that a signal to the group does not reach them. This process
adopts what loses its parent below it (PR_SET_CHILD_SUBREAPER), so that nothing of a dead command goes on unseen beside
its successor, with the devices' memory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["adopt_orphans", "die_with_parent", "family_of", "catches", "signal_those_who_catch", "end_family"]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_POLL_SECONDS = 0.05


class _Process(NamedTuple):
    pid: int
    parent: int
    group: int
    dead: bool


def adopt_orphans() -> None:
    """From now on, what loses its parent below this process becomes its child. No error where that cannot be."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """From now on this process is killed when the thread that started it ends. No error where that cannot be."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def family_of(pid: int, *, besides: Collection[int] = (), orphans_of: int | None = None) -> list[int]:
    """The living processes of the command that `pid` leads, `pid` first if it lives: its group and all descendants.

    With `orphans_of`, also the children of that process, and their descendants, but for those in `besides`.
    """
    everybody = _processes()
    children: dict[int, list[_Process]] = {}
    for process in everybody:
        children.setdefault(process.parent, []).append(process)
    found: dict[int, _Process] = {}
    waiting = [process for process in everybody if pid in (process.pid, process.group)]
    if orphans_of is not None:
        waiting += [process for process in children.get(orphans_of, []) if process.pid not in besides]
    while waiting:
        process = waiting.pop()
        if process.pid not in found and process.pid not in besides:
            found[process.pid] = process
            waiting += children.get(process.pid, [])
    living = sorted(process.pid for process in found.values() if not process.dead)
    return sorted(living, key=lambda one: one != pid)


def _processes() -> list[_Process]:
    processes = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            text = Path(entry.path, "stat").read_text(errors="replace")
            state, parent, group = text[text.rindex(")") + 2 :].split()[:3]  # the name may hold anything
            processes.append(_Process(int(entry.name), int(parent), int(group), state in "ZX"))
    return processes


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal, or ignores it. False where that cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        masks = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
        mask = int(masks["SigCgt"], 16) | int(masks["SigIgn"], 16)
    except (OSError, KeyError, ValueError):
        return False
    return bool(mask >> (number - 1) & 1)


def signal_those_who_catch(pid: int, number: int) -> list[int]:
    """Send the signal to each process of the command that would survive it. Returns those."""
    reached = []
    for one in family_of(pid):
        if catches(one, number):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, number)
                reached.append(one)
    return reached


def end_family(pid: int, *, besides: Collection[int], patience_seconds: float) -> int:
    """End what a command has left behind: SIGTERM, and after that patience SIGKILL. Returns how many there were."""
    left = family_of(pid, besides=besides, orphans_of=os.getpid())
    first = len(left)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not left:
            break
        for one in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, number)
                os.kill(one, signal.SIGCONT)
        deadline = time.monotonic() + patience_seconds
        while left and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            for one in left:
                with suppress(ChildProcessError):
                    os.waitpid(one, os.WNOHANG)
            left = family_of(pid, besides=besides, orphans_of=os.getpid())
    return first
