"""What `train-exec` says: lines for a person, or JSON, on stderr, since stdout is the command's; and JSON in a file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from holdfast.cli.output import Output, write_line
from holdfast.cli.phrases import count, printable, short_id
from holdfast.cli.views.layout import fact_lines
from holdfast.clock import SYSTEM_CLOCK, to_rfc3339
from holdfast.errors import FailedError
from holdfast.training.executing import events
from holdfast.training.executing.asks import Begun, Checkpoint
from holdfast.training.executing.commands.ends import signal_name
from holdfast.training.executing.settings import AfterNotice, Requeue, Settings
from holdfast.units import format_duration, format_size

__all__ = ["ExecTeller", "plan_lines", "words_of"]


class ExecTeller:
    """Receives events, from several threads."""

    def __init__(self, output: Output, file: Path | None) -> None:
        """Raises FailedError when the file cannot be written."""
        self._output = output
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        if file is not None:
            try:
                self._file = file.open("ab", buffering=0)
            except OSError as error:
                raise FailedError(f"{file} cannot be written ({error.strerror})", object_name=str(file)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __call__(self, event: events.ExecEvent) -> None:
        event = msgspec.structs.replace(event, time=to_rfc3339(SYSTEM_CLOCK.now_ns()))
        line = msgspec.json.encode(event)
        with self._lock:
            try:
                self._write(line)
                self._say(event, line)
            except (OSError, ValueError):  # a full disk below a log, or nobody reads: that must not end a training
                sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the old one would spoil the exit code

    def _say(self, event: events.ExecEvent, line: bytes) -> None:
        if self._output.json:
            write_line(sys.stderr, line.decode())
        elif _is_warning(event):
            self._output.warn(words_of(event))
        elif text := words_of(event):
            self._output.say(f"holdfast: {text}")

    def data(self, planned: Iterable[events.Planned]) -> None:
        """Of a dry run: on stdout, which is nobody else's then."""
        for one in planned:
            self._output.give(one, lambda record, page: fact_lines([(record.topic, record.text)], page.width))

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line + b"\n")
        except OSError as error:  # a full disk must not end a training
            self._file.close()
            self._file = None
            self._output.warn(f"events are not written any more ({error.strerror})")


def _is_warning(event: events.ExecEvent) -> bool:
    if isinstance(event, events.Noted):
        return event.warning
    if isinstance(event, events.Saved):
        return bool(event.findings)
    return isinstance(event, events.PassedOver | events.MovedAside | events.NotSaved | events.Silent | events.GaveUp)


def words_of(event: events.ExecEvent) -> str:
    """One sentence, without the time."""
    return _saving_words(event) or _running_words(event)


def _saving_words(event: events.ExecEvent) -> str:
    match event:
        case events.Saving():
            return f"saving {_called(event.checkpoint)}, {format_size(event.checkpoint.bytes)}"
        case events.Saved():
            copied = [copy.url for copy in event.copies if not copy.error]
            failed = [f"{copy.url}: {copy.error}" for copy in event.copies if copy.error]
            tail = f"; copied to {', '.join(copied)}" if copied else ""
            tail += f"; not copied to {'; '.join(failed)}" if failed else ""
            found = f"; {event.verdict}: {event.findings[0]}" if event.findings else ""
            return (
                f"saved {_called(event.checkpoint)} as {short_id(event.snapshot)} in {format_duration(event.seconds)}, "
                f"stored {format_size(event.stored_bytes)}{found}{tail}"
            )
        case events.NotSaved():
            again = f"; again in {format_duration(event.retry_seconds)}" if event.retry_seconds is not None else ""
            return f"{_called(event.checkpoint)} is not saved: {event.message}{again}"
        case events.Estimated():
            return _estimate(event)
        case events.PassedOver():
            name = event.checkpoint.snapshot and short_id(event.checkpoint.snapshot)
            return f"passed over {name or event.checkpoint.place}: {event.reason}"
        case events.MovedAside():
            return f"moved {event.place} aside ({event.reason}): it is {event.to} now"
        case _:
            return ""


def _running_words(event: events.ExecEvent) -> str:
    match event:
        case events.Noted():
            return event.message
        case events.Resuming():
            if event.checkpoint is None:
                return f"starting from nothing: {event.reason}"
            source = f", restored in {format_duration(event.seconds)}" if event.restored else ", which lies here"
            return f"going on from {_called(event.checkpoint)}{source}: {event.reason}"
        case events.Started():
            return f"started, process {event.pid}" + (f", restart {event.restart}" if event.restart else "")
        case events.Signalled():
            return f"{event.signal}: {event.action}"
        case events.Silent():
            since = f"nothing new for {format_duration(event.seconds)}: " if event.seconds else ""
            return f"{event.kind}: {since}{event.action}"
        case events.Ended():
            return f"the command ended after {format_duration(event.seconds)}: {event.words}"
        case events.Restarting():
            return f"starting again in {format_duration(event.delay_seconds)} (restart {event.restart}): {event.reason}"
        case events.Requeued():
            how = (
                f"Slurm starts job {event.job} again" if event.job else f"exit code {event.code} asks for another start"
            )
            return f"{how}: {event.reason}"
        case events.GaveUp():
            return f"giving up: {event.reason}"
        case events.Finished():
            return _finish(event)
        case _:
            return ""


def _estimate(event: events.Estimated) -> str:
    left = format_duration(event.seconds_left)
    possible = "" if event.bytes_possible is None else f", enough for {format_size(event.bytes_possible)}"
    if event.checkpoint is None:
        return f"{left} are left{possible}; {event.reason}"
    needed = "an unknown time" if event.seconds_needed is None else format_duration(event.seconds_needed)
    what = "saving it" if event.starts else "not begun"
    named = f"{_called(event.checkpoint)}, {format_size(event.checkpoint.bytes)}, needs {needed}"
    return f"{left} are left{possible}; {named}: {what}, {event.reason}"


def _finish(event: events.Finished) -> str:
    kept = f"{count(event.saved, 'checkpoint')} saved"
    if event.durable_step is not None:
        kept += f", the last of step {event.durable_step}"
    if event.unsaved:
        kept += f"; NOT SAVED: {', '.join(event.unsaved[:3])}" + (" …" if len(event.unsaved) > 3 else "")
    again = f", {count(event.restarts, 'restart')}" if event.restarts else ""
    return f"ended with {event.code} ({event.kind}){again}; {kept}, in {format_duration(event.seconds)}"


def plan_lines(settings: Settings, begun: Begun) -> list[events.Planned]:
    """What a run would do."""
    place = settings.place
    chosen = begun.chosen
    if begun.verdict == "give-up":
        restore = f"nothing: the run would be given up, {begun.reason}"
    elif chosen is None:
        restore = f"nothing: {begun.reason}"
    else:
        source = f"snapshot {short_id(chosen.snapshot)} would become" if chosen.snapshot else "it lies here:"
        restore = f"{source} {_called(chosen)}; {begun.reason}"
    to = begun.vault or place.vault or "the vault that holdfast.yaml declares"
    copies = f", copied to {', '.join(place.replicas)}" if place.replicas else ""
    rows = {
        "restore": restore,
        "watch": f"{settings.folder}, every {format_duration(settings.interval)}; "
        f"complete after {format_duration(settings.settle)} of quiet",
        "save": f"to {to} as {place.asset!r}, at low priority{copies}",
        "signals": _signal_plan(settings),
        "requeue": _requeue_plan(settings),
    }
    return [events.Planned(topic=topic, text=text) for topic, text in rows.items()]


def _signal_plan(settings: Settings) -> str:
    number = settings.save_signal
    passed = "is not passed on" if number is None else f"is passed on as {signal_name(number)} to who catches it"
    after = {
        AfterNotice.CONTINUE: "the command goes on",
        AfterNotice.STOP: "the command is ended",
        AfterNotice.REQUEUE: "the command is ended and started again",
    }[settings.after_notice]
    grace = format_duration(settings.grace)
    return f"SIGUSR1 {passed}, then {after}; SIGTERM leaves {grace} for the command and its last save"


def _requeue_plan(settings: Settings) -> str:
    if settings.recoverable.is_empty and not settings.restart_hung:
        return "never: the exit code is passed on"
    how = {
        Requeue.AUTO: "by Slurm in a job of it, else here",
        Requeue.PLACE: "here",
        Requeue.SLURM: "by Slurm",
        Requeue.EXIT: f"by exit code {settings.requeue_code}",
    }[settings.requeue]
    wanted = settings.recoverable
    ends = ["any"] if wanted.any else sorted(map(str, wanted.codes)) + sorted(wanted.kinds)
    ends += [] if wanted.any else sorted(signal_name(one) for one in wanted.signals)
    ends += ["a hang"] if settings.restart_hung else []
    return f"{how}, after {', '.join(ends)}; {settings.max_restarts} times at most"


def _called(one: Checkpoint) -> str:
    return printable(one.place) + ("" if one.step is None else f" (step {one.step})")
