"""What a command says: one JSON object or lines for a person on stdout; talk, progress and the outcome on stderr."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TextIO, TypeVar

from holdfast.cli.phrases import printable
from holdfast.cli.progress import CommandProgress, choose_progress
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.units import format_duration

if TYPE_CHECKING:
    import msgspec

__all__ = ["Output", "Page", "write_line", "label", "no_collection"]

_COLOURS = {"error": "31;1", "warning": "33;1", "hint": "36"}

Record = TypeVar("Record", bound="msgspec.Struct")


class Page(NamedTuple):
    """What lines are made for: the width of the terminal (80 where there is none) and the time that ages count from."""

    width: int
    now_ns: int


class Output:
    """The two streams of one command. Close it before anything else writes to them."""

    def __init__(self, *, json: bool, quiet: bool, clock: Clock = SYSTEM_CLOCK) -> None:
        """`json`: data as JSON. `quiet`: no talk and no progress; only errors reach stderr."""
        self.json = json
        self.quiet = quiet
        self._clock = clock
        self._started = clock.monotonic()
        self._progress: CommandProgress | None = None

    @property
    def progress(self) -> CommandProgress:
        """Where long work tells how far it is."""
        if self._progress is None:
            self._progress = choose_progress(sys.stderr, quiet=self.quiet)
        return self._progress

    @property
    def seconds(self) -> float:
        """How long the command has been running."""
        return self._clock.monotonic() - self._started

    def give(self, record: Record, view: Callable[[Record, Page], Iterable[str]]) -> None:
        """The command's data: the record as one line of JSON, or the lines that `view` makes of it."""
        self.pause()
        if self.json:
            import msgspec

            write_line(sys.stdout, msgspec.json.encode(record).decode())
            return
        page = Page(max(40, shutil.get_terminal_size().columns), self._clock.now_ns())
        for line in view(record, page):
            write_line(sys.stdout, line)

    def say(self, text: str) -> None:
        """One line of talk."""
        if not self.quiet:
            self.pause()
            write_line(sys.stderr, printable(text))

    def warn(self, text: str) -> None:
        """One line that a person should not miss."""
        if not self.quiet:
            self.pause()
            write_line(sys.stderr, f"{label('warning', sys.stderr)} {printable(text)}")

    def finish(self, outcome: str) -> None:
        """The last line: the outcome with the id concerned, and how long it took."""
        self.say(f"{outcome} in {format_duration(self.seconds)}")

    def pause(self) -> None:
        """Take bars off the screen."""
        if self._progress is not None:
            self._progress.pause()

    def close(self) -> None:
        """Nothing more will be said."""
        self.pause()


def write_line(stream: TextIO, line: str) -> None:
    """Print, whatever the stream's encoding lacks, and at once: another process may be waiting for it."""
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


@contextmanager
def no_collection() -> Iterator[None]:
    """For a command that makes very many small objects and keeps them till its end: searching them for cycles, again
    and again, takes a fifth of its time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def label(name: str, stream: TextIO) -> str:
    """`error:`, in colour where the stream is a terminal and nobody asked for none (https://no-color.org)."""
    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return f"{name}:" if plain else f"\x1b[{_COLOURS[name]}m{name}:\x1b[0m"
