"""The last seconds: what is complete and not saved goes to the vault, as far as that can be done in time.

While the command lives it may be writing its own last checkpoint, and a save takes disk, line and processor from it: a
save is begun beside it only when it will be over in time by measured speed; one that runs and will not be is broken
off. Once the command has ended nobody is hindered any more, and what is missing is tried whatever the estimate says.
"""

from __future__ import annotations

import time
from pathlib import Path

from holdfast.checkpoints.ledger import Ledger
from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import HoldfastError
from holdfast.training.executing import events
from holdfast.training.executing.asks import Checkpoint
from holdfast.training.executing.commands.bell import Bell
from holdfast.training.executing.looking import look
from holdfast.training.executing.saves import Work, Workers
from holdfast.units import format_duration

__all__ = ["Grace"]

_LOOK_SECONDS = 0.5
_BESIDE_SHARE = 0.8  # of the time that is left: what a save beside a living command may take


class Grace:
    """Saves the newest first, until a deadline (monotonic). For the main thread."""

    def __init__(self, workers: Workers, ledger_file: Path, bell: Bell, tell: events.Tell, deadline: float) -> None:
        self._workers = workers
        self._ledger_file = ledger_file
        self._bell = bell
        self._tell = tell
        self._deadline = deadline
        self._looked_at = -1.0
        self._work: Work | None = None
        self._working_on: Checkpoint | None = None
        self._told: set[tuple[str, bool]] = set()
        self._failed: set[str] = set()
        workers.hurry()

    @property
    def left(self) -> float:
        """Seconds."""
        return self._deadline - time.monotonic()

    def look(self, *, command_lives: bool) -> bool:
        """Begin, break off, or leave alone. Returns whether anything is still to be done."""
        if self._work is not None:
            if self._work.is_alive():
                self._check_running(command_lives)
                return True
            self._finish(self._work)
        if command_lives and time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return True
        self._looked_at = time.monotonic()
        return self._check_running(command_lives) or self._begin_next(command_lives)

    def save_all(self) -> None:
        """After the command: until all is saved, or time is up."""
        while self.look(command_lives=False):
            if self.left <= 0:
                self._workers.abandon("no time is left")
                break
            self._bell.wait(min(0.2, max(0.01, self.left)))

    def _begin_next(self, command_lives: bool) -> bool:
        waiting = [one for one in self._unsaved() if one.fingerprint not in self._failed]
        if not waiting:
            if command_lives and ("", True) not in self._told:
                self._told.add(("", True))
                self._tell_estimate(None, starts=False, reason="all that is complete is saved")
            return False
        newest = waiting[0]
        share = _BESIDE_SHARE if command_lives else 1.0
        fits = self._workers.speed.fits(newest.bytes, share * self.left)
        starts = fits or not command_lives
        if (newest.fingerprint, starts) not in self._told:
            self._told.add((newest.fingerprint, starts))
            reason = "" if fits else "it may not be over in time, and nothing is hindered by trying"
            if not starts:
                reason = "it would not be over in time, and would hinder what the command is still writing"
            self._tell_estimate(newest, starts=starts, reason=reason)
        if starts:
            self._working_on = newest
            self._work = Work(lambda: self._workers.save(newest), self._bell.ring)
        return starts

    def _check_running(self, command_lives: bool) -> bool:
        """A save that runs goes on if it will be over in time, or hinders nobody."""
        running = self._workers.running
        if running is None:
            return False
        one, since = running
        needed = self._workers.speed.seconds_for(one.bytes)
        if command_lives and needed is not None and needed - (time.monotonic() - since) > self.left:
            self._workers.abandon("it would not be over in time, and hinders what the command is still writing")
        return True

    def _finish(self, work: Work) -> None:
        one, self._work, self._working_on = self._working_on, None, None
        assert one is not None
        if work.error is None:
            self._note_in_ledger(one, str(work.result))
            return
        self._failed.add(one.fingerprint)
        known = work.error.message if isinstance(work.error, HoldfastError) else type(work.error).__name__
        self._tell(events.NotSaved(checkpoint=one, message=known, retry_seconds=None))

    def _unsaved(self) -> list[Checkpoint]:
        place = self._workers.place
        try:
            here = look(Path(place.folder), self._ledger_file, place.patterns)
        except HoldfastError as error:
            self._tell(events.Noted(message=error.message, warning=True))
            return []
        return [one for one in here.unsaved if one.fingerprint not in self._workers.saved]

    def _note_in_ledger(self, one: Checkpoint, snapshot: str) -> None:
        place = self._workers.place
        try:
            candidate = look(Path(place.folder), self._ledger_file, place.patterns).candidates.get(one.place)
            if candidate is not None and candidate.fingerprint == one.fingerprint:
                Ledger(self._ledger_file).record(one.place, candidate, SYSTEM_CLOCK.now_ns(), snapshot)
        except HoldfastError as error:
            self._tell(events.Noted(message=error.message, warning=True))

    def _tell_estimate(self, one: Checkpoint | None, *, starts: bool, reason: str) -> None:
        self._tell(
            events.Estimated(
                checkpoint=one,
                seconds_left=max(0.0, self.left),
                seconds_needed=None if one is None else self._workers.speed.seconds_for(one.bytes),
                bytes_possible=self._workers.speed.bytes_in(self.left),
                starts=starts,
                reason=reason or f"{format_duration(max(0.0, self.left))} are left",
            )
        )
