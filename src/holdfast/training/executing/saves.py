"""Workers, as the supervisor sees them: one process for each piece of work, one save at a time, speeds measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

import holdfast.errors
from holdfast.errors import FailedError, HoldfastError
from holdfast.training.executing import events
from holdfast.training.executing.asks import (
    Answer,
    Ask,
    Begun,
    Checkpoint,
    Copy,
    Done,
    MovedAside,
    Note,
    Place,
    Saved,
    Skipped,
    Wrong,
)
from holdfast.training.executing.speeds import Speed

__all__ = ["Workers", "Work"]

_CODES: dict[str, type[HoldfastError]] = {
    error.code: error
    for name in holdfast.errors.__all__
    if issubclass(error := getattr(holdfast.errors, name), Exception)
}
_COPY_RETRY_SECONDS = 60.0
_ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class Work(threading.Thread):
    """Something that is done in a thread; `done` is called at its end."""

    def __init__(self, act: Callable[[], object], done: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._act, self._done = act, done
        self.result: object = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._act()
        except Exception as error:  # noqa: BLE001 - told, or raised again, by who waits for it
            self.error = error
        finally:
            self._done()


class Workers:
    """Runs workers. Saves may come from several threads and wait for each other."""

    def __init__(self, place: Place, tell: events.Tell, speed: Speed) -> None:
        self.place = place
        self.speed = speed
        self.saved: dict[str, str] = {}  # fingerprint → snapshot, of what needs no save any more
        self.saved_count = 0
        self.durable_step: int | None = None
        self.durable_written = 0
        self.urgent = False
        self.behind: dict[str, str] = {}  # replica → why it lacks something
        self._tell = tell
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()  # a save may run while the next start begins
        self._running: tuple[Checkpoint, float] | None = None
        self._abandoned = ""
        self._copy_at = 0.0

    @property
    def running(self) -> tuple[Checkpoint, float] | None:
        """The checkpoint that is being saved, and since when (monotonic)."""
        return self._running

    @contextmanager
    def none_begins(self) -> Iterator[list[int]]:
        """While it lasts no worker starts: those of the list (pids) are all that there are."""
        with self._guard:
            yield self._pids()

    def _pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def ask(self, question: Ask) -> Answer:
        """One worker's answer; what it notes on the way is told. Raises the error that it had."""
        return self._talk(question)

    def save(self, one: Checkpoint) -> str:
        """Save a checkpoint unless that was done; returns the snapshot's id. Raises what saving raises, and FailedError
        when it was abandoned.
        """
        with self._turn:
            known = self.saved.get(one.fingerprint)
            if known is not None:
                return known
            urgent = self.urgent
            self._tell(events.Saving(checkpoint=one, urgent=urgent))
            self._running = (one, time.monotonic())
            try:
                answer = self._talk(Ask("save", self.place, checkpoint=one, urgent=urgent))
            finally:
                self._running = None
            assert isinstance(answer, Saved)
            self._note_saved(one, answer)
            return answer.snapshot

    def copy_if_behind(self) -> None:
        """Bring replicas up to date that lack something, if their time has come. What fails is told."""
        if not self.place.replicas or not self.behind or time.monotonic() < self._copy_at:
            return
        with self._turn:
            try:
                answer = self._talk(Ask("copy", self.place))
                assert isinstance(answer, Done)
                self._note_copies(answer.copies)
            except HoldfastError as error:
                self._copy_at = time.monotonic() + _COPY_RETRY_SECONDS
                self._tell(
                    events.Noted(message=f"replicas cannot be brought up to date: {error.message}", warning=True)
                )

    def abandon(self, why: str) -> None:
        """Break off whatever worker runs. Nothing half-saved is visible."""
        with self._guard:
            for process in self._processes:
                if process.poll() is None:
                    self._abandoned = why
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)

    def hurry(self) -> None:
        """From now on saves are urgent; the running one gets normal priority where this user may give it."""
        self.urgent = True
        with self._guard:
            running = self._pids()
        for pid in running:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.setpriority(os.PRIO_PROCESS, int(task.name), 0)

    def _note_saved(self, one: Checkpoint, answer: Saved) -> None:
        self.speed.note(answer.bytes, answer.seconds)
        self.saved[one.fingerprint] = answer.snapshot
        self.saved_count += 1
        if one.written >= self.durable_written:
            self.durable_step, self.durable_written = one.step, one.written
        self._note_copies(answer.copies)
        if self.place.replicas and not answer.copies:
            self.behind = dict.fromkeys(self.place.replicas, "not copied yet")
        self._tell(
            events.Saved(
                checkpoint=one,
                snapshot=answer.snapshot,
                stored_bytes=answer.stored,
                verdict=answer.verdict,
                findings=answer.findings,
                validated=answer.validated,
                copies=answer.copies,
                seconds=answer.seconds,
            )
        )

    def _note_copies(self, copies: list[Copy]) -> None:
        self.behind = {one.url: one.error for one in copies if one.error}
        self._copy_at = time.monotonic() + _COPY_RETRY_SECONDS

    def _talk(self, question: Ask) -> Answer:
        # -P: the folder in which the training runs may hold a module of any name.
        command = [sys.executable, "-P", "-m", "holdfast.training.executing.worker"]
        with self._guard:
            self._abandoned = ""
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
                )
            except OSError as error:
                raise FailedError(f"no process can be started for a {question.verb} ({error.strerror})") from error
            self._processes.add(process)
        last: Answer | None = None
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(question))
                process.stdin.close()
            for line in process.stdout:
                last = self._hear(line) or last
        finally:
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            with self._guard:
                self._processes.discard(process)
        return self._settled(question, last, process.returncode)

    def _hear(self, line: bytes) -> Answer | None:
        answer: Answer = _ANSWERS.decode(line)
        if isinstance(answer, Note):
            self._tell(events.Noted(message=answer.message))
        elif isinstance(answer, Skipped):
            self._tell(events.PassedOver(checkpoint=answer.checkpoint, reason=answer.reason))
        elif isinstance(answer, MovedAside):
            self._tell(events.MovedAside(place=answer.place, to=answer.to, reason=answer.reason))
        else:
            return answer
        return None

    def _settled(self, question: Ask, last: Answer | None, code: int) -> Answer:
        if isinstance(last, Wrong):
            raise _CODES.get(last.code, FailedError)(last.message, hint=last.hint)
        if isinstance(last, Begun | Saved | Done):
            return last
        if self._abandoned:
            raise FailedError(f"the {question.verb} was broken off: {self._abandoned}")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise FailedError(f"the process of a {question.verb} {how} before it answered", hint="is there enough memory?")
