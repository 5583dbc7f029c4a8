"""Looking for complete checkpoints while the command runs, in a thread: the watcher of `checkpoints/`, with workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.watching import Watcher
from holdfast.errors import HoldfastError
from holdfast.training.executing import events
from holdfast.training.executing.looking import checkpoint_of, place_of
from holdfast.training.executing.saves import Work, Workers

__all__ = ["Watching"]


class Watching:
    """One watch over the folder. Its events come in its thread."""

    def __init__(
        self,
        workers: Workers,
        ledger_file: Path,
        *,
        tell: events.Tell,
        heard: Callable[[bool], None],
        done: Callable[[], None],
        known: Collection[str] | None,
        interval_seconds: float,
        settle_seconds: float,
        once: bool = False,
    ) -> None:
        """Begin. `heard`: called when something was written, True for a complete checkpoint; `done`: at the end.
        `known`: snapshots that the vault has, None where nobody could tell. `once`: what is complete now, then end.
        """
        self._workers = workers
        self._root = Path(os.path.realpath(workers.place.folder))
        self._tell = tell
        self._heard = heard
        self.stop = threading.Event()
        watcher = Watcher(
            self._root,
            self._protect,
            state_file=ledger_file,
            patterns=tuple(workers.place.patterns),
            settle_seconds=settle_seconds,
            interval_seconds=interval_seconds,
            snapshots=None if known is None else lambda: {*known, *workers.saved.values()},
            idle=workers.copy_if_behind,
            events=self,
        )
        self.work = Work(lambda: watcher.run(once, self.stop), done)

    @property
    def is_over(self) -> bool:
        return not self.work.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for its end, so long at most."""
        self.work.join(max(0.0, seconds))

    def _protect(self, candidate: Candidate) -> str:
        return self._workers.save(checkpoint_of(place_of(self._root, candidate), candidate))

    def found(self, candidate: Candidate) -> None:
        self._heard(False)

    def waiting(self, candidate: Candidate, reason: str) -> None:
        self._heard(False)

    def protecting(self, candidate: Candidate) -> None:
        self._heard(True)

    def protected(self, candidate: Candidate, seconds: float) -> None:
        pass

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        known = error.message if isinstance(error, HoldfastError) else f"unexpected {type(error).__name__}"
        self._tell(
            events.NotSaved(
                checkpoint=checkpoint_of(place_of(self._root, candidate), candidate),
                message=known,
                retry_seconds=retry_seconds,
            )
        )

    def vanished(self, candidate: Candidate) -> None:
        if not candidate.complete:
            return
        self._tell(
            events.NotSaved(
                checkpoint=checkpoint_of(place_of(self._root, candidate), candidate),
                message="it was deleted before it could be saved",
                retry_seconds=None,
            )
        )

    def warning(self, message: str) -> None:
        self._tell(events.Noted(message=message, warning=True))
