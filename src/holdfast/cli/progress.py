"""How far long work is: bars on a terminal, now and then a line elsewhere, nothing with `--quiet`. All on stderr."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from holdfast.cli.phrases import printable, share
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.events import Progress
from holdfast.units import format_duration, format_ratio, format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["CommandProgress", "Phase", "Lines", "Bars", "choose_progress", "LINE_SECONDS"]

LINE_SECONDS = 5.0
_ETA_AFTER_SECONDS = 1.0  # an estimate from less than that jumps about
_DESCRIPTION_MAX = 24


class CommandProgress(Progress, Protocol):
    """Progress that can be taken off the screen."""

    def pause(self) -> None:
        """Leave the screen as it was; the next phase comes back."""
        ...


def choose_progress(stream: TextIO, *, quiet: bool) -> CommandProgress:
    """What fits the stream."""
    if quiet:
        return _Nothing()
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(stream)
    return Lines(stream)


class Phase:
    """One phase's figures. Not for several threads: its owner holds a lock."""

    def __init__(self, name: str, total: int | None, clock: Clock) -> None:
        self.name = printable(name)
        self.total = total
        self.done = 0
        self.stored = 0
        self._clock = clock
        self._began = clock.monotonic()

    def advance(self, done: int, stored: int) -> None:
        self.done += done
        self.stored += stored

    def figures(self) -> list[str]:
        """Bytes, rate, time left, and what saving makes of the bytes: each only once it is known."""
        seconds = self._clock.monotonic() - self._began
        of = f" of {format_size(self.total)}" if self.total else ""
        parts = [f"{format_size(self.done)}{of}"] if self.done or self.total else []
        if seconds > 0 and self.done:
            parts.append(f"{format_size(self.done / seconds)}/s")
            if self.total and self.total > self.done and seconds >= _ETA_AFTER_SECONDS:
                parts.append(f"{format_duration(round((self.total - self.done) * seconds / self.done))} left")
        if self.name == "saving" and self.done:
            parts.append(f"stored {format_ratio(self.stored, self.done)}")
        return parts


class _Nothing:
    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def pause(self) -> None:
        pass


class Lines:
    """For logs and pipes: a line whenever `LINE_SECONDS` have passed since the phase began or the last line came."""

    def __init__(self, stream: TextIO, clock: Clock = SYSTEM_CLOCK) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._phase: Phase | None = None
        self._told = clock.monotonic()

    def phase(self, name: str, total_bytes: int | None) -> None:
        with self._lock:
            self._phase = Phase(name, total_bytes, self._clock)
            self._told = self._clock.monotonic()

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        with self._lock:
            if self._phase is None:
                return
            self._phase.advance(done_bytes, stored_bytes)
            now = self._clock.monotonic()
            if now - self._told >= LINE_SECONDS:
                self._told = now
                done = f" ({share(self._phase.done, self._phase.total)})" if self._phase.total else ""
                self._write(f"{self._phase.name}{done}: {', '.join(self._phase.figures())}")

    def note(self, message: str) -> None:
        with self._lock:
            self._write(f"note: {printable(message)}")

    def pause(self) -> None:
        pass

    def _write(self, line: str) -> None:
        # Nobody may be reading any more; that is no reason to break off what is being told of.
        with suppress(OSError):
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()


class Bars:
    """For a terminal: one bar, which goes away when its phase is over. Colours are Rich's, which honours NO_COLOR."""

    def __init__(self, stream: TextIO, clock: Clock = SYSTEM_CLOCK) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._phase: Phase | None = None
        self._live: RichProgress | None = None
        self._task: Any = None  # Rich's TaskID

    def phase(self, name: str, total_bytes: int | None) -> None:
        self.pause()
        live = self._new_bar()
        with self._lock:
            self._phase = Phase(name, total_bytes, self._clock)
            self._live = live
            self._task = live.add_task(self._phase.name[:_DESCRIPTION_MAX], total=total_bytes)
        live.start()

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        with self._lock:
            phase, live, task = self._phase, self._live, self._task
            if phase is None or live is None:
                return
            phase.advance(done_bytes, stored_bytes)
        live.advance(task, done_bytes)

    def note(self, message: str) -> None:
        self._console.print(f"note: {printable(message)}", markup=False)

    def pause(self) -> None:
        with self._lock:
            live, self._live, self._phase = self._live, None, None
        if live is not None:
            live.stop()

    def _figures(self) -> str:
        with self._lock:
            return "  ".join(self._phase.figures()) if self._phase is not None else ""

    def _new_bar(self) -> RichProgress:
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        figures = self._figures

        class Figures(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(figures())

        return Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            Figures(table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
            expand=True,
        )
