"""The commands of Holdfast, as people and machines of a drill give them: each a process, forked from one launcher.

While one runs the drill looks at its lever, at least once a second; what runs when the drill stops is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.clock import Clock
from holdfast.drills.troubles import DrillBroken

__all__ = ["Commands", "Running", "Said"]

_LOOK_SECONDS: Final = 0.25
_BEGIN_SECONDS: Final = 60.0


class Said(NamedTuple):
    """What a command left behind. `data`: its JSON, empty where it gave none; `error`: its last words, if it failed.

    `code`: negative where a signal ended it.
    """

    code: int
    data: Mapping[str, Any]
    error: str
    seconds: float


class Running:
    """A command that was begun."""

    def __init__(self, of: Commands, number: int, words: str, out: Path, err: Path) -> None:
        self._of, self._number, self.words, self._out, self._err = of, number, words, out, err
        self._began = of.clock.monotonic()
        self.pid = 0
        self.code: int | None = None
        self.changed = threading.Event()

    def told(self) -> str:
        """What it said on stderr so far."""
        with suppress(OSError):
            return self._err.read_text(errors="replace")
        return ""

    def kill(self) -> None:
        """SIGKILL, for it and all that it started."""
        if self.code is None and self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, patience: float) -> Said:
        """To its end. Raises what looking at the lever raises, and DrillBroken where it takes longer than that."""
        until = self._of.clock.monotonic() + patience
        try:
            while self.code is None:
                self._of.look()
                if self._of.clock.monotonic() > until:
                    raise DrillBroken(f"`{self.words}` did not end within {patience:.0f} s")
                self.changed.wait(_LOOK_SECONDS)
                self._of.require_launcher()
        except BaseException:  # who stops waiting, by a Ctrl-C too, leaves nothing that runs
            self.kill()
            raise
        seconds = self._of.clock.monotonic() - self._began
        return Said(self.code, self._data(), self._error() if self.code else "", seconds)

    def _data(self) -> Mapping[str, Any]:
        try:
            lines = self._out.read_text().splitlines()
            found = json.loads(lines[-1]) if lines else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _error(self) -> str:
        data = self._data()
        if isinstance(data.get("error"), dict) and "message" in data["error"]:
            hint = str(data["error"].get("hint", ""))
            return str(data["error"]["message"]) + (f" ({hint})" if hint else "")
        lines = [line for line in self.told().splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("error:")] or lines[-1:]
        return " ".join(said).removeprefix("error:").strip() or f"it ended with {self.code}"


class Commands:
    """Close it: whatever still runs is killed. `look` is called often, and raises when the drill is to stop."""

    def __init__(self, folder: Path, environment: Mapping[str, str], clock: Clock, look: Callable[[], None]) -> None:
        """Raises DrillBroken where no process can be started."""
        self.clock, self.look = clock, look
        self._folder = folder
        self._running: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._count = 0
        try:
            with (folder / "launcher.err").open("wb") as log:
                self._launcher = subprocess.Popen(
                    [sys.executable, "-m", "holdfast.cli.launcher"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=dict(environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise DrillBroken(f"no process can be started ({error.strerror})") from error
        self._reader = threading.Thread(target=self._read, name="drill commands", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._launcher.pid

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Running:
        """Begin a command with `--json`, in that environment. Raises DrillBroken."""
        with self._lock:
            self._count += 1
            number = self._count
            out, err = (self._folder / f"{number:03d}.{end}" for end in ("out", "err"))
            words = " ".join(["holdfast", *arguments[:2]])
            one = self._running[number] = Running(self, number, words, out, err)
        order = {"id": number, "argv": [*arguments, "--json"], "env": dict(environment), "cwd": str(cwd)}
        order |= {"out": str(out), "err": str(err)}
        try:
            assert self._launcher.stdin is not None
            self._launcher.stdin.write(json.dumps(order).encode() + b"\n")
            self._launcher.stdin.flush()
        except OSError as error:
            raise DrillBroken(f"the launcher of commands is gone ({error.strerror})") from error
        until = self.clock.monotonic() + _BEGIN_SECONDS
        while not one.pid:
            if self.clock.monotonic() > until:
                raise DrillBroken(f"`{words}` could not be begun")
            one.changed.wait(_LOOK_SECONDS)
            self.require_launcher()
        return one

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, patience: float) -> Said:
        """Begin it and wait for its end."""
        return self.start(arguments, environment, cwd).wait(patience)

    def require_launcher(self) -> None:
        """Raises DrillBroken where it has ended by itself."""
        if self._launcher.poll() is not None:
            raise DrillBroken(f"the launcher of commands ended with {self._launcher.returncode}")

    def close(self) -> None:
        """Kill what still runs, and the launcher."""
        for one in list(self._running.values()):
            one.kill()
        with suppress(OSError):
            if self._launcher.stdin is not None:
                self._launcher.stdin.close()
        try:
            self._launcher.wait(5.0)
        except subprocess.TimeoutExpired:
            self._launcher.kill()
            self._launcher.wait()
        self._reader.join(5.0)
        if self._launcher.stdout is not None:
            self._launcher.stdout.close()

    def _read(self) -> None:
        stream = self._launcher.stdout
        assert stream is not None
        for line in stream:
            told = json.loads(line)
            one = self._running[told["id"]]
            if "pid" in told:
                one.pid = told["pid"]
            if "code" in told:
                one.code = told["code"]
            one.changed.set()
            if one.code is None:
                one.changed.clear()
        for one in self._running.values():
            one.changed.set()
