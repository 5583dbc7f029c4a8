"""Protecting checkpoints as they become complete, by looking again and again.

Polling works alike on local disks, NFS, Lustre and FUSE mounts of buckets, where notifications of the kernel do not. No
more than a fifth of the time goes into looking, however slow the file system is.

Order: oldest first, by step and then by time of writing, so that history is saved in the order in which it was made.
When more than `BACKLOG_MAX` are ready, the newest by time of writing goes first, until no more than that many wait: so
the least training is unprotected. The highest step need not be the newest: runs are resumed from earlier ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import scan
from holdfast.checkpoints.ledger import Ledger
from holdfast.checkpoints.settling import Readiness, Settler
from holdfast.checkpoints.telling import SILENT_WATCH, WatchEvents
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import HoldfastError, UsageError

__all__ = ["Watcher", "WatchSummary", "next_to_protect", "BACKLOG_MAX"]

BACKLOG_MAX = 2
SETTLE_SECONDS = 10.0  # rank 0 of a large job is done some seconds before the slowest rank
INTERVAL_SECONDS = 5.0
LOOKING_SHARE = 4  # pause at least four times as long as the look took
STOP_SECONDS = 0.25  # how soon a pause notices that it should end
RETRY_FIRST_SECONDS = 5.0
RETRY_FIRST_SECONDS_HOPELESS = 60.0  # after an error that a mere repetition does not mend (`HoldfastError.retry`)
RETRY_MAX_SECONDS = 300.0
ONCE_ATTEMPTS = 3


class WatchSummary(NamedTuple):
    """What a watch did, by paths relative to the watched folder. `failed` and `waiting` pair them with the reason.

    `behind` pairs the URLs of replicas that lack something with the reason.
    """

    protected: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    waiting: tuple[tuple[str, str], ...]
    vanished: tuple[str, ...]
    behind: tuple[tuple[str, str], ...] = ()


class _Failure(NamedTuple):
    fingerprint: str
    attempts: int
    retry_at: float  # monotonic
    error: Exception

    @property
    def may_pass(self) -> bool:
        return isinstance(self.error, HoldfastError) and self.error.retry


class _Look(NamedTuple):
    due: dict[str, Candidate]  # ready now
    pending: dict[str, Candidate]  # complete, and waiting for quiet or for the time of another attempt


def next_to_protect(due: Sequence[Candidate]) -> Candidate:
    """The one of the ready checkpoints (at least one) that is protected first."""
    if len(due) > BACKLOG_MAX:
        return max(due, key=lambda candidate: (candidate.written_ns, candidate.step or 0, candidate.path))
    return min(due, key=_age)


def _age(candidate: Candidate) -> tuple[bool, int, int, Path]:
    return (candidate.step is None, candidate.step or 0, candidate.written_ns, candidate.path)


def _is_gone(path: Path) -> bool:
    """Whether it is certain that nothing is there; False where one may not look."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


class Watcher:
    """Watches one folder. `run` is called once, from one thread."""

    def __init__(
        self,
        folder: Path,
        protect: Callable[[Candidate], str | None],
        *,
        state_file: Path,
        snapshots: Callable[[], Collection[str]] | None = None,
        idle: Callable[[], None] | None = None,
        patterns: Sequence[str] = (),
        settle_seconds: float = SETTLE_SECONDS,
        interval_seconds: float = INTERVAL_SECONDS,
        once_wait_seconds: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
        events: WatchEvents = SILENT_WATCH,
    ) -> None:
        """`protect` saves a checkpoint and returns its snapshot's id when that is durable; any exception means that it
        is not.

        It may be called again for a checkpoint that was protected before (lost state, rewritten in place). `snapshots`
        gives the ids that there are: what is remembered as protected and was lost with the vault's last days is
        protected again. `idle` is called whenever nothing is due; it may take its time, but must not raise. `patterns`
        are globs of files to watch besides the known suffixes. `once_wait_seconds` bounds all waiting of
        `run(once=True)` together, by default twice the settling time and half a minute. Raises UsageError for times
        that make no sense.
        """
        if interval_seconds <= 0:
            raise UsageError(f"a polling interval of {interval_seconds} s is not positive")
        self._folder = Path(os.path.realpath(folder))
        self._protect_one = protect
        self._snapshots = snapshots
        self._idle = idle
        self._patterns = tuple(patterns)
        self._interval_seconds = interval_seconds
        self._once_wait_seconds = 2 * settle_seconds + 30 if once_wait_seconds is None else once_wait_seconds
        self._clock = clock
        self._events = events
        self._settler = Settler(clock, settle_seconds)
        self._ledger = Ledger(state_file)
        self._open: dict[str, Candidate] = {}  # seen, and not protected as they are
        self._told: dict[str, str] = {}  # the reason for waiting that was told last
        self._warned: frozenset[str] = frozenset()
        self._failures: dict[str, _Failure] = {}
        self._protected: list[str] = []
        self._vanished: list[str] = []
        self._look_seconds = 0.0

    def run(self, once: bool, stop: threading.Event) -> WatchSummary:
        """Watch until `stop` is set; with `once`, until all that is complete at the first look is dealt with.

        `once` waits for quiet and for further attempts (three at most) no longer than its bound, and raises what `scan`
        raises when the folder cannot be read; without it a folder that is not there yet is waited for. `stop` does not
        interrupt a running `protect`.
        """
        if self._ledger.problem:
            self._events.warning(self._ledger.problem)
        self._forget_lost()
        if once:
            self._run_once(stop)
        else:
            self._run_on(stop)
        return self._summary()

    def _forget_lost(self) -> None:
        if self._snapshots is None:
            return
        try:
            lost = self._ledger.forget_lost(self._snapshots())
        except HoldfastError as error:
            self._events.warning(f"what was protected before cannot be compared with the vault: {error.message}")
            return
        if lost:
            self._events.warning(f"the vault has lost the snapshots of {len(lost)} checkpoints (the last: {lost[-1]})")

    def _run_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                look = self._look()
            except HoldfastError as error:
                self._warn([str(error)])
            else:
                if look.due:
                    self._protect_next(look.due, attempts_max=None)
                    continue  # look again at once: there may be a newer one by now
            if self._idle is not None:
                self._idle()
            self._pause(stop)

    def _run_once(self, stop: threading.Event) -> None:
        look = self._look()
        targets = look.due.keys() | look.pending.keys()
        waited = 0.0
        while not stop.is_set():
            due = {key: candidate for key, candidate in look.due.items() if key in targets and not self._given_up(key)}
            if due:
                self._protect_next(due, attempts_max=ONCE_ATTEMPTS)
            elif waited < self._once_wait_seconds and any(
                key in targets and not self._given_up(key) for key in look.pending
            ):
                waited += self._pause(stop)
            else:
                return
            look = self._look()

    def _given_up(self, key: str) -> bool:
        failure = self._failures.get(key)
        return failure is not None and (failure.attempts >= ONCE_ATTEMPTS or not failure.may_pass)

    def _look(self) -> _Look:
        """Scan, tell what is new, and sort out what is ready. Raises what `scan` raises."""
        started = self._clock.monotonic()
        found = scan(self._folder, self._patterns)
        self._look_seconds = self._clock.monotonic() - started
        self._warn(found.unreadable)
        look = _Look({}, {})
        still_there = set()
        for readiness in self._settler.look(found.candidates):
            key = self._key(readiness.candidate)
            still_there.add(key)
            self._sort_out(key, readiness, look)
        for key in sorted(self._open.keys() - still_there):
            candidate = self._open[key]
            if _is_gone(candidate.path):
                self._note_vanished(key, candidate)
            else:  # its folder became unreadable, or turned out to be part of a larger checkpoint
                self._forget(key)
        return look

    def _sort_out(self, key: str, readiness: Readiness, look: _Look) -> None:
        candidate = readiness.candidate
        if self._ledger.holds(key, candidate):
            self._forget(key)
            return
        if key not in self._open:
            self._events.found(candidate)
        self._open[key] = candidate
        if self._ledger.is_torn(key, candidate):
            name = candidate.marker.name if candidate.marker else "its marker"
            self._tell_waiting(key, candidate, f"its data changed and {name} did not: an overwrite has not finished")
            return
        failure = self._failures.get(key)
        if failure is not None and failure.fingerprint != candidate.fingerprint:
            del self._failures[key]
            failure = None
        if not readiness.ready:
            self._tell_waiting(key, candidate, readiness.reason)
            if candidate.complete:
                look.pending[key] = candidate
        elif failure is not None and self._clock.monotonic() < failure.retry_at:
            look.pending[key] = candidate
        else:
            look.due[key] = candidate

    def _protect_next(self, due: dict[str, Candidate], attempts_max: int | None) -> None:
        candidate = next_to_protect(list(due.values()))
        key = self._key(candidate)
        if _is_gone(candidate.path):
            self._note_vanished(key, candidate)
            return
        self._events.protecting(candidate)
        started = self._clock.monotonic()
        try:
            snapshot = self._protect_one(candidate) or ""
        # Whatever goes wrong with one checkpoint, a fault of ours included, must not end the protection of all later
        # ones. It is reported, retried, and never counted as protected.
        except Exception as error:  # noqa: BLE001
            self._note_failure(key, candidate, error, attempts_max)
            return
        self._forget(key)
        self._protected.append(key)
        self._events.protected(candidate, self._clock.monotonic() - started)
        try:
            self._ledger.record(key, candidate, self._clock.now_ns(), snapshot)
        except HoldfastError as error:
            self._events.warning(f"{error}; {error.hint}")

    def _note_failure(self, key: str, candidate: Candidate, error: Exception, attempts_max: int | None) -> None:
        if _is_gone(candidate.path):
            self._note_vanished(key, candidate)
            return
        earlier = self._failures.get(key)
        attempts = 1 if earlier is None else earlier.attempts + 1
        failure = _Failure(candidate.fingerprint, attempts, 0.0, error)
        first_seconds = RETRY_FIRST_SECONDS if failure.may_pass else RETRY_FIRST_SECONDS_HOPELESS
        delay = min(RETRY_MAX_SECONDS, first_seconds * 2 ** min(attempts - 1, 16))
        self._failures[key] = failure._replace(retry_at=self._clock.monotonic() + delay)
        last = attempts_max is not None and (attempts >= attempts_max or not failure.may_pass)
        self._events.failed(candidate, error, None if last else delay)

    def _note_vanished(self, key: str, candidate: Candidate) -> None:
        self._forget(key)
        self._vanished.append(key)
        self._events.vanished(candidate)

    def _forget(self, key: str) -> None:
        self._open.pop(key, None)
        self._told.pop(key, None)
        self._failures.pop(key, None)

    def _tell_waiting(self, key: str, candidate: Candidate, reason: str) -> None:
        if self._told.get(key) != reason:
            self._told[key] = reason
            self._events.waiting(candidate, reason)

    def _warn(self, messages: Sequence[str]) -> None:
        """Warn of each trouble once, and again when it comes back."""
        for message in messages:
            if message not in self._warned:
                self._events.warning(message)
        self._warned = frozenset(messages)

    def _key(self, candidate: Candidate) -> str:
        """The path relative to the watched folder, as text that any JSON can hold; the name where it is that folder."""
        relative = candidate.name if candidate.path == self._folder else str(candidate.path.relative_to(self._folder))
        return os.fsencode(relative).decode(errors="backslashreplace")

    def _pause(self, stop: threading.Event) -> float:
        """Wait until the next look is due; returns the seconds waited."""
        total = max(self._interval_seconds, LOOKING_SHARE * self._look_seconds)
        started = self._clock.monotonic()
        while not stop.is_set() and (left := total - (self._clock.monotonic() - started)) > 0:
            self._clock.sleep(min(STOP_SECONDS, left))
        return self._clock.monotonic() - started

    def _summary(self) -> WatchSummary:
        failed = tuple((key, str(failure.error)) for key, failure in sorted(self._failures.items()))
        waiting = tuple(sorted((key, reason) for key, reason in self._told.items() if key not in self._failures))
        return WatchSummary(tuple(self._protected), failed, waiting, tuple(self._vanished))
