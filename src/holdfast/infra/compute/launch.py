"""Runs one command beside a lock: `python -I -S launch.py LOCK RECORD EXIT STARTER -- COMMAND…`.

The standard library alone.
As long as the command runs, it and a process that waits for it hold the lock: so a second launcher with the same lock
ends (exit code 75), whoever started it, and whoever asks can see that it runs, however the one that started it ended.
A launcher whose starter (a pid) is gone begins nothing: somebody else may have begun it, and stopped it, meanwhile.
Before the command begins, RECORD says which processes these are, with the times at which they started (a pid may be
used again, a pid with its time not, until the machine starts anew). When it has ended, EXIT has its code. Signals to
the group reach the command. Both are in a session of their own, and nobody's children.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time

_PASSED = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT]
_TRIES = 40
_PAUSE_SECONDS = 0.025


def started_at(pid: int) -> str:
    """Clock ticks since the machine started, from /proc; with the id of this start of the machine."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib is slow to load
        text = file.read()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return f"{file.read().strip()}/{text[text.rindex(')') + 2 :].split()[19]}"


def _write(path: str, content: object) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="ascii") as file:  # noqa: PTH123
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105


def main(arguments: list[str]) -> int:
    """0: it runs, and the record says so; 75: it runs already; 126: it could not be begun. Its own end is in EXIT."""
    lock_path, record, ended, starter, _, *command = arguments
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    if not _take(lock) or os.getppid() != int(starter):
        return 75
    recorded, written = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(recorded)
        os._exit(_supervise(command, lock, written, record, ended))
    os.close(written)
    return 0 if os.read(recorded, 1) else 126


def _take(lock: int) -> bool:
    """Whoever looks whether it runs has the lock for a moment: not to be mistaken for somebody who runs it."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False


def _supervise(command: list[str], lock: int, written: int, record: str, ended: str) -> int:
    for number in _PASSED:
        signal.signal(number, signal.SIG_IGN)
    begin, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        if not os.read(begin, 1):
            os._exit(126)  # whoever was to write the record is gone
        for number in _PASSED:
            signal.signal(number, signal.SIG_DFL)
        os.set_inheritable(lock, True)
        try:
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
        except OSError as error:
            os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
            os._exit(127)
    os.close(begin)
    pids = [os.getpid(), child]
    _write(record, {"pids": pids, "started": [started_at(pid) for pid in pids]})
    os.write(go, b"g")
    os.write(written, b"g")
    os.close(go)
    os.close(written)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _write(ended, {"code": code})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
