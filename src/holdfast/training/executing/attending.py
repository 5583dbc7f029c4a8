"""One life of the command: signals are heard and passed on, silence is noticed, and its end gets a name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.training.executing import events
from holdfast.training.executing.commands.bell import Bell
from holdfast.training.executing.commands.ends import End, end_of, signal_name
from holdfast.training.executing.commands.family import family_of, signal_those_who_catch
from holdfast.training.executing.commands.running import Command, Stopped
from holdfast.training.executing.commands.torch_errors import read_device_error
from holdfast.training.executing.grace import Grace
from holdfast.training.executing.hanging import Silence
from holdfast.training.executing.saves import Workers
from holdfast.training.executing.settings import AfterNotice, Settings
from holdfast.units import format_duration

__all__ = ["Attendance", "Outcome"]

_TICK_SECONDS = 0.5
_SHORT_TICK_SECONDS = 0.1
_FILE_CLOCK_NS = 20_000_000  # the times of files are those of the last tick of the kernel
_KILL_SHARE, _KILL_SECONDS_MAX = 0.1, 1.0  # of the grace: what is left when the command is killed
_OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


class Outcome(NamedTuple):
    """`asked`: the signal by which somebody ended it, None where it ended by itself; `deadline`: until when there is
    time (monotonic), None: as long as it takes.
    """

    end: End
    asked: int | None
    deadline: float | None


class Attendance:
    """Attends to one command until it has ended. For the main thread."""

    def __init__(
        self,
        settings: Settings,
        command: Command,
        bell: Bell,
        workers: Workers,
        silence: Silence,
        tell: events.Tell,
        *,
        error_file: Path,
        grace: Callable[[float], Grace],
    ) -> None:
        """`grace`: makes what saves in the time that is left, given the deadline."""
        self._settings = settings
        self._command = command
        self._bell = bell
        self._workers = workers
        self._silence = silence
        self._tell = tell
        self._error_file = error_file
        self._make_grace = grace
        self._started = time.monotonic()
        self._asked: int | None = None
        self._deadline: float | None = None
        self._grace: Grace | None = None
        self._hung = False
        self._stopped_at: float | None = None
        self._notice: tuple[int, float] | None = None  # when (ns) SIGUSR1 came, and until when (monotonic) to wait
        self._out_of_memory = _oom_kills()

    def attend(self) -> Outcome:
        """Returns when the command has ended."""
        self._silence.begin(time.monotonic())
        while True:
            for number in self._bell.wait(_TICK_SECONDS if self._deadline is None else _SHORT_TICK_SECONDS):
                self._hear(number)
            status = self._command.poll()
            if isinstance(status, Stopped):
                self._note_stop(status)
            elif status is not None:
                return self._outcome(status)
            self._look_at_times(time.monotonic())

    def _outcome(self, status: int) -> Outcome:
        end = end_of(
            status,
            device_error=read_device_error(self._error_file),
            hung=self._hung,
            out_of_memory=_oom_kills() > self._out_of_memory,
        )
        seconds = time.monotonic() - self._started
        self._tell(events.Ended(kind=end.kind, code=end.code, words=end.words, seconds=seconds))
        return Outcome(end, self._asked, self._deadline)

    def _hear(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGHUP):
            self._end_soon(number)
        elif number == signal.SIGINT:
            self._asked = self._asked or number
            self._tell(events.Signalled(signal="SIGINT", action="passed on to the command"))
            self._command.send(number)
        elif number == signal.SIGQUIT:
            self._command.send(number)
        elif number == signal.SIGUSR1:
            self._note_notice()

    def _end_soon(self, number: int) -> None:
        name = signal_name(number)
        if self._deadline is not None and (self._asked is not None or not self._hung):
            self._tell(events.Signalled(signal=name, action="it is ending already"))
            return
        seconds = self._settings.grace  # also where it is being ended because it hung: it is not started again
        self._tell(
            events.Signalled(
                signal=name, action=f"passed on; the command and its last save have {format_duration(seconds)}"
            )
        )
        self._asked = number
        self._begin_grace(seconds)
        self._command.send(number)
        self._command.send(signal.SIGCONT)

    def _begin_grace(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._grace = self._make_grace(self._deadline)

    def _note_notice(self) -> None:
        number = self._settings.save_signal
        if self._notice is not None or self._deadline is not None:
            self._tell(events.Signalled(signal="SIGUSR1", action="a checkpoint is being waited for already"))
            return
        since = time.time_ns() - _FILE_CLOCK_NS  # before it is passed on: the answer may come at once
        reached = signal_those_who_catch(self._command.pid, number) if number is not None else []
        if reached:
            action = f"passed on as {signal_name(number or 0)} to {len(reached)} of its processes; "
        elif number is not None:
            action = f"not passed on: no process of the command catches {signal_name(number)}, it would die of it; "
        else:
            action = ""
        wait = self._settings.save_wait
        self._tell(
            events.Signalled(
                signal="SIGUSR1", action=f"{action}the next complete checkpoint is waited for, and saved first"
            )
        )
        self._workers.hurry()
        self._notice = (since, time.monotonic() + wait)

    def _look_at_times(self, now: float) -> None:
        if self._grace is not None:
            self._grace.look(command_lives=True)
        if self._deadline is not None:
            whole = self._settings.grace
            if now >= self._deadline - min(_KILL_SECONDS_MAX, _KILL_SHARE * whole):
                self._kill()
            return
        if self._notice is not None:
            self._look_at_notice(*self._notice, now)
        if self._silence.is_too_long(now):
            self._note_silence()

    def _look_at_notice(self, since_ns: int, until: float, now: float) -> None:
        arrived = self._workers.durable_written >= since_ns
        if not arrived and now < until:
            return
        self._notice = None
        if arrived:
            self._tell(events.Noted(message=f"the checkpoint of step {self._workers.durable_step} is saved"))
        else:
            waited = format_duration(self._settings.save_wait)
            self._tell(events.Noted(message=f"no new checkpoint was complete and saved within {waited}", warning=True))
        if self._settings.after_notice is AfterNotice.CONTINUE:
            self._workers.urgent = False
            return
        self._asked = signal.SIGUSR1
        self._begin_grace(self._settings.grace)
        self._command.send(signal.SIGTERM)

    def _note_stop(self, number: Stopped) -> None:
        if int(number) == signal.SIGTSTP and self._command.is_foreground:
            self._command.suspend_with_us()
            self._silence.begin(time.monotonic())
            return
        name = signal_name(number)
        self._tell(
            events.Silent(
                kind="SIGSTOP", seconds=0.0, action=f"the command was stopped by {name}; SIGCONT continues it"
            )
        )

    def _note_silence(self) -> None:
        limit = self._silence.limit_seconds or 0.0
        ends = self._settings.restart_hung
        action = "it is ended, and started again" if ends else "it is left alone (--restart-hung would end it)"
        self._tell(events.Silent(kind="HANG", seconds=limit, action=action))
        if ends:
            self._hung = True
            self._deadline = time.monotonic() + self._settings.grace
            self._command.send(signal.SIGTERM)
            self._command.send(signal.SIGCONT)

    def _kill(self) -> None:
        for pid in family_of(self._command.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory: of this cgroup, where that is told, else of all."""
    for path in _OOM_COUNTERS:
        with suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0
