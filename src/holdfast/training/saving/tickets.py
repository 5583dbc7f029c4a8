"""What became of a save, and of all of them."""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

from holdfast.errors import FailedError, HoldfastError

__all__ = ["Ticket", "Stats", "Exposure", "SaveState"]

SaveState = Literal["pending", "waiting", "spooled", "durable", "failed", "skipped"]
_ENDED = ("durable", "failed", "skipped")


class Ticket:
    """One save. `state`:

    * `pending`: staged, being saved;
    * `waiting`: it could not be saved yet (`error` says why), and is tried again from shared memory;
    * `spooled`: the same, from the spool on the local disk;
    * `durable`: committed and read back; `snapshot` is its id;
    * `failed`: it is not saved and will not be; `error` says why;
    * `skipped`: nothing was staged, because another save was under way.
    """

    def __init__(self, number: int, step: int | None, tags: tuple[str, ...] = ()) -> None:
        self.number = number
        self.step = step
        self.tags = tags
        self.state: SaveState = "pending"
        self.error: HoldfastError | None = None
        self.snapshot: str | None = None
        self.verdict: str | None = None
        self.stalled_seconds = 0.0  # that training stood still
        self.saving_seconds: float | None = None  # that the saving process took
        self.raw_bytes = 0
        self.stored_bytes: int | None = None
        self._ended = threading.Event()

    @property
    def is_durable(self) -> bool:
        return self.state == "durable"

    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in _ENDED

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is durable: whether it is. False also when the time is over, and when it failed."""
        self._ended.wait(timeout)
        return self.is_durable

    def require(self, timeout: float | None = None) -> str:
        """The id of the durable snapshot. Raises what was wrong, or FailedError when the time is over."""
        if self.wait(timeout) and self.snapshot is not None:
            return self.snapshot
        if self.error is not None:
            raise self.error
        raise FailedError(f"the save of step {self.step} is not durable yet: it is {self.state}")

    def move_to(self, state: SaveState, error: HoldfastError | None = None) -> None:
        """For the saver. A state that has ended stays what it is."""
        if self.done():
            return
        self.state, self.error = state, error
        if self.done():
            self._ended.set()

    def __repr__(self) -> str:
        why = f": {self.error.message}" if self.error is not None else ""
        return f"<Ticket step={self.step} {self.state}{why}>"


class Exposure(NamedTuple):
    """What would be lost if this machine were gone now.

    `last_durable_step`: where training could go on; None: nowhere. `newest_step`: of which a save was asked for.
    `seconds`: since the last durable state was what training had; since the saver began, where there is none.
    `backlog`: saves that are under way or wait, `spooled_bytes` of them on the local disk. `reason`: what keeps them.
    """

    last_durable_step: int | None
    newest_step: int | None
    seconds: float
    backlog: int
    spooled_bytes: int
    reason: str

    def __str__(self) -> str:
        durable = "nothing is durable yet" if self.last_durable_step is None else f"step {self.last_durable_step} is"
        why = f" ({self.reason})" if self.reason else ""
        if self.backlog == 0:
            return f"{durable}{' durable' if self.last_durable_step is not None else ''}, nothing waits"
        kind = " durable" if self.last_durable_step is not None else ""
        return f"{durable}{kind}, {self.backlog} newer wait for {self.seconds:.0f} s{why}"


class Stats(NamedTuple):
    """Since the saver began. Times in seconds; `stalled_*`: that training stood still for a save (staging, and waiting
    for an earlier one, which is also in `waited_seconds`). `restarts`: of the saving process.
    """

    saves: int
    durable: int
    failed: int
    skipped: int
    spooled: int
    dropped: int
    restarts: int
    stalled_seconds: float
    stalled_seconds_max: float
    waited_seconds: float
    saving_seconds: float
    raw_bytes: int
    stored_bytes: int
    staging_bytes: int
