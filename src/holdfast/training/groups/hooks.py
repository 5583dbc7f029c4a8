"""Hooks around the cut of a group: what they began is always ended, whoever dies or hangs meanwhile."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import FailedError, UsageError
from holdfast.training.circumstances.scrubbing import scrubbed

__all__ = ["Hook", "HookRun", "Held", "held", "HOOK_SECONDS", "HOLD_SECONDS"]

HOOK_SECONDS = 60.0
HOLD_SECONDS = 120.0
_GUARDIAN = Path(__file__).with_name("guardian.py")
_SLACK_SECONDS = 15.0  # for starting an interpreter and stopping a process, on a machine that is busy

Side = Callable[[], Any] | Sequence[str] | None


class Hook(NamedTuple):
    """What is done before and after the cut: commands (lists of arguments; no shell) or functions of this process.

    Each side has `seconds`. A command that takes longer is stopped with its process group. A function cannot be
    stopped: it is left behind in its thread, and the group is not saved.
    """

    name: str
    before: Side = None
    after: Side = None
    seconds: float = HOOK_SECONDS

    def checked(self) -> Hook:
        """Raises UsageError."""
        if not 0 < self.seconds < math.inf:
            raise UsageError(f"hook {self.name!r} has {self.seconds!r} seconds, which is no time")
        sides = [side for side in (self.before, self.after) if side is not None]
        functions = {callable(side) for side in sides}
        if len(functions) > 1:
            raise UsageError(f"hook {self.name!r} is half a command and half a function", hint="make two hooks of it")
        for side in sides:
            if not callable(side) and (isinstance(side, str) or not side or not all(isinstance(x, str) for x in side)):
                raise UsageError(f"a command of hook {self.name!r} is a list of arguments", hint='["sh", "-c", "…"]')
        return self

    @property
    def is_function(self) -> bool:
        """Whether it runs in this process."""
        return callable(self.before) or callable(self.after)


class HookRun(NamedTuple):
    """How one side of a hook went. `why` is empty where it went well."""

    hook: str
    side: str
    seconds: float
    why: str


class Held:
    """What the hooks hold. `runs` grows until all is released."""

    def __init__(self, hooks: Sequence[Hook], hold_seconds: float, environment: dict[str, str], clock: Clock) -> None:
        self.runs: list[HookRun] = []
        self._hooks = [hook.checked() for hook in hooks]
        self._hold, self._environment, self._clock = hold_seconds, environment, clock
        self._commands = [hook for hook in self._hooks if not hook.is_function]
        self._guardian: _Guardian | None = None
        self._begun: list[Hook] = []
        self._lock = threading.Lock()
        self._released = False
        self._until: float | None = None
        self._late = threading.Event()
        self._timer: threading.Timer | None = None

    @property
    def left_seconds(self) -> float:
        """For how long it stays held, at least; infinite without hooks. Less a tenth: threads are late."""
        if self._until is None:
            return math.inf
        return max(0.0, self._until - self._clock.monotonic() - 0.1 * self._hold)

    def begin(self) -> None:
        """All `before`, in order. Raises FailedError: one failed. What was begun has still to be released."""
        if not 0 < self._hold < math.inf:
            raise UsageError(f"hooks hold for a number of seconds, not {self._hold!r}")
        for hook in self._hooks:
            if self._until is None:
                self._until = self._clock.monotonic() + self._hold
            self._begun.append(hook)
            run = self._call(hook, "before") if hook.is_function else self._command(hook)
            self.runs.append(run)
            if run.why:
                raise FailedError(f"hook {hook.name!r} failed before the cut: {run.why}")
        if self._begun:
            self._timer = threading.Timer(self._hold, self._release_late)
            self._timer.daemon = True
            self._timer.start()

    def require(self) -> None:
        """Raises FailedError where the hooks were released before the cut was done."""
        if self._late.is_set() or (self._guardian is not None and self._guardian.ended):
            raise FailedError(
                f"the cut took longer than the {self._hold:g} s that hooks hold: nothing is saved",
                hint="a longer hold, or fewer or smaller members",
            )

    def release(self) -> None:
        """All `after` of what was begun: functions, then commands, of each the last one first.

        Never raises: `runs` tells what failed.
        """
        with self._lock:  # who comes second waits until it is done
            if self._released:
                return
            self._released = True
            if self._timer is not None:
                self._timer.cancel()
            for hook in reversed([hook for hook in self._begun if hook.is_function]):
                self.runs.append(self._call(hook, "after"))
            if self._guardian is not None:
                self.runs += self._guardian.release()

    def _release_late(self) -> None:
        self._late.set()
        self.release()

    def _command(self, hook: Hook) -> HookRun:
        if self._guardian is None:
            self._guardian = _Guardian(self._commands, self._hold, self._environment)
        return self._guardian.before(self._commands.index(hook))

    def _call(self, hook: Hook, side: str) -> HookRun:
        """A function, in a thread that is left behind when it takes too long."""
        function: Any = hook.before if side == "before" else hook.after
        if function is None:
            return HookRun(hook.name, side, 0.0, "")
        outcome: queue.Queue[str] = queue.Queue()
        late = threading.Event()

        def call() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - whatever the user's function raises, it failed
                outcome.put(scrubbed(f"{type(error).__name__}: {error}"))
            else:
                outcome.put("")
            if late.is_set() and side == "before" and hook.after is not None:  # it got now what nobody waits for
                with self._lock, contextlib.suppress(BaseException):
                    after: Any = hook.after
                    after()

        started = self._clock.monotonic()
        threading.Thread(target=call, name=f"holdfast-hook-{hook.name}", daemon=True).start()
        try:
            why = outcome.get(timeout=hook.seconds)
        except queue.Empty:
            late.set()
            why = f"it took longer than {hook.seconds:g} s, and cannot be stopped"
        return HookRun(hook.name, side, self._clock.monotonic() - started, why)


@contextlib.contextmanager
def held(
    hooks: Sequence[Hook],
    *,
    hold_seconds: float = HOLD_SECONDS,
    environment: dict[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Held]:
    """Hold what the hooks hold for the block: `require()` at its end says whether that was so all the time.

    Released are commands also when this process is killed, by a process of their own. Raises UsageError, FailedError.
    """
    holding = Held(hooks, hold_seconds, environment or {}, clock)
    try:
        holding.begin()
        yield holding
    finally:
        holding.release()


class _Guardian:
    """The process that runs commands, see `guardian.py`. One that dies is replaced by one that only releases."""

    def __init__(self, hooks: Sequence[Hook], hold_seconds: float, environment: dict[str, str]) -> None:
        self._hooks = hooks
        self._spec = {
            "hooks": [
                {"name": hook.name, "before": _argv(hook.before), "after": _argv(hook.after), "seconds": hook.seconds}
                for hook in hooks
            ],
            "hold": hold_seconds,
            "environment": environment,
        }
        self._begun: list[int] = []
        self._start()

    @property
    def ended(self) -> bool:
        """Whether it released, or died, before it was asked."""
        return self._process.poll() is not None or not self._said.empty()

    def before(self, number: int) -> HookRun:
        hook = self._hooks[number]
        self._begun.append(number)
        self._say({"do": "before", "hook": number})
        heard = self._hear(hook.seconds + _SLACK_SECONDS)
        if heard is None or heard.get("event") != "before":
            return HookRun(hook.name, "before", hook.seconds, "the process that runs hooks died")
        return HookRun(hook.name, "before", heard["seconds"], scrubbed(heard["why"]))

    def release(self) -> list[HookRun]:
        runs, whole = self._ask_release()
        if not whole:  # killed, or out of memory: another one does what it did not
            missing = [number for number in self._begun if self._hooks[number].name not in {run.hook for run in runs}]
            self._start()
            for number in missing:
                self._say({"do": "begun", "hook": number})
            more, whole = self._ask_release()
            runs += more
            told = {run.hook for run in runs}
            lost = [self._hooks[number].name for number in missing if self._hooks[number].name not in told]
            runs += [HookRun(name, "after", 0.0, "the process that runs hooks died twice") for name in lost]
        return runs

    def _ask_release(self) -> tuple[list[HookRun], bool]:
        self._say({"do": "release"})
        runs: list[HookRun] = []
        most = max((hook.seconds for hook in self._hooks), default=0.0) + _SLACK_SECONDS
        while (heard := self._hear(most)) is not None:
            if heard["event"] == "released":
                self._end()
                return runs, True
            if heard["event"] == "after":
                name = self._hooks[heard["hook"]].name
                runs.append(HookRun(name, "after", heard["seconds"], scrubbed(heard["why"])))
        self._process.kill()
        self._end()
        return runs, False

    def _end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what is left to be written to it is written to nobody
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> None:
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARDIAN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self._process, self._said), daemon=True).start()
        self._say(self._spec)

    @staticmethod
    def _listen(process: subprocess.Popen[str], said: queue.Queue[dict[str, Any] | None]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError), process.stdout as lines:
            for line in lines:
                said.put(json.loads(line))
        said.put(None)

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def _hear(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None where it ended, or says nothing for so long."""
        try:
            return self._said.get(timeout=seconds)
        except queue.Empty:
            return None


def _argv(side: Side) -> list[str]:
    return [] if side is None or callable(side) else list(side)
