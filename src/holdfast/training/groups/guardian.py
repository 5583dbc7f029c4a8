"""A process of its own that runs the hooks of a group, and runs their `after` whatever becomes of the one that asked.

Started as `python -I guardian.py`; nothing but the standard library is imported. It reads one JSON object a line:

    {"hooks": [{"name": …, "before": […], "after": […], "seconds": …}], "hold": …, "environment": {…}}
    {"do": "before", "hook": 0}       → {"event": "before", "hook": 0, "ok": true, "why": "", "seconds": 0.1}
    {"do": "release"}                 → {"event": "after", …} for each, the last one begun first, and
                                        {"event": "released", "by": "asked"}

It releases by itself when its standard input ends (whoever asked has died), and `hold` seconds after the last `before`
was done. A hook whose `before` was begun has its `after` run, once: also where `before` failed or was stopped.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any

_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.02
_TOLD_BYTES = 2000


class Guardian:
    """The hooks, which of them were begun, and the lines that come in."""

    def __init__(self) -> None:
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.gone = threading.Event()
        self.hooks: list[dict[str, Any]] = []
        self.begun: list[int] = []
        self.environment: dict[str, str] = {}

    def listen(self) -> None:
        """In a thread: lines into the queue; None where they end."""
        for line in sys.stdin:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                break
        self.gone.set()
        self.lines.put(None)

    def run(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        first = self.lines.get()
        if first is None:
            return
        self.hooks, hold = first["hooks"], float(first["hold"])
        self.environment = {**os.environ, **first["environment"]}
        deadline = None
        by = "asked"
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                by = "late"
                break
            if line is None:
                by = "gone"
                break
            if line["do"] == "release":
                break
            number = int(line["hook"])
            self.begun.append(number)
            if line["do"] == "begun":  # an earlier guardian did that, and died
                continue
            self.one(number, "before")
            deadline = time.monotonic() + hold
        for number in reversed(self.begun):
            self.one(number, "after")
        tell({"event": "released", "by": by})

    def one(self, number: int, side: str) -> None:
        """Run one side of a hook, and tell how it went. Nothing stops an `after` but its time."""
        hook = self.hooks[number]
        command, seconds = hook[side], float(hook["seconds"])
        started = time.monotonic()
        why = ""
        if command:
            why = self.command(command, started + seconds, self.gone if side == "before" else None)
        tell({"event": side, "hook": number, "ok": not why, "why": why, "seconds": time.monotonic() - started})

    def command(self, command: list[str], until: float, stop: threading.Event | None) -> str:
        """Run a command in a process group of its own. Returns what went wrong, empty where nothing did."""
        with scratch() as output:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=self.environment,
                )
            except (OSError, ValueError) as error:
                return f"it cannot be started: {getattr(error, 'strerror', None) or type(error).__name__}"
            while process.poll() is None:
                late, gone = time.monotonic() > until, stop is not None and stop.is_set()
                if late or gone:
                    end(process)
                    return "it took too long, and was stopped" if late else "whoever asked for it is gone"
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
            if process.returncode == 0:
                return ""
            said = ""
            if output.seekable():
                output.seek(max(0, output.seek(0, os.SEEK_END) - _TOLD_BYTES))
                said = output.read().decode("utf-8", "replace").strip()
            how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            return f"{how}{': ' if said else ''}{said}"


def scratch() -> IO[bytes]:
    """For what a command says; nowhere, where no temporary file can be made: its `after` runs all the same."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")  # noqa: PTH123


def end(process: subprocess.Popen[bytes]) -> None:
    """The whole process group: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what the first one left behind
    except ProcessLookupError:
        return


def tell(what: dict[str, Any]) -> None:
    """One line to whoever asked; nobody may be there any more."""
    try:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()
    except OSError:
        return


def ignore(number: int, frame: object) -> None:
    """A handler that does nothing is not inherited by the commands, as SIG_IGN would be."""


if __name__ == "__main__":
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, ignore)
    Guardian().run()
