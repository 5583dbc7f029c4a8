"""The port: one function over independent pieces, each of which may be done twice without harm.

A piece whose worker dies is given to another one; a piece whose work raises an error of ours is done, with that error.
Results come as they are ready, in no order that could be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from holdfast.errors import HoldfastError, UsageError

__all__ = ["Fanout", "Outcome", "Shares", "WorkerShare", "open_fanout"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Outcome(NamedTuple, Generic[Piece, Result]):
    """What became of a piece: its result, or the error. `worker`: who did it, for people: a thread, or a process of a
    machine. `seconds`: how long it took there.
    """

    piece: Piece
    result: Result | None
    error: HoldfastError | None
    worker: str
    seconds: float


class Fanout(Protocol):
    """Somebody who does pieces of work."""

    @property
    def width(self) -> int:
        """How many pieces are done at once, about: there should be several times as many pieces."""
        ...

    def each(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterator[Outcome[Piece, Result]]:
        """Do all pieces; yields each as it is done, exactly once.

        `work` is a function of a module (not a closure), and pieces and results are plain data: they may travel to
        other machines. Keys do not travel: each machine finds its own. What is raised that is no HoldfastError is a
        fault in the program, and ends it all. Who stops taking results stops the work.
        """
        ...


class WorkerShare(NamedTuple):
    """What one worker did of a piece of bulk work: pieces, bytes, and the seconds that it was busy."""

    worker: str
    pieces: int
    bytes: int
    seconds: float


class Shares:
    """Who did how much, added up outcome by outcome. Not for several threads."""

    def __init__(self) -> None:
        self._shares: dict[str, WorkerShare] = {}

    def add(self, worker: str, size: int, seconds: float) -> None:
        """One more piece of `size` bytes was done by that worker."""
        before = self._shares.get(worker, WorkerShare(worker, 0, 0, 0.0))
        self._shares[worker] = WorkerShare(worker, before.pieces + 1, before.bytes + size, before.seconds + seconds)

    def all(self) -> tuple[WorkerShare, ...]:
        """By the names of the workers."""
        return tuple(self._shares[worker] for worker in sorted(self._shares))


def open_fanout(where: str = "threads", *, threads: int | None = None) -> Fanout:
    """`threads`, `ray://HOST:PORT` (a cluster's client port), `ray:HOST:PORT` (its address), or `ray:auto`.

    Raises UsageError, MissingExtraError (Ray is not installed), StoreUnreachableError (the cluster does not answer),
    FailedError (it runs other versions).
    """
    from holdfast.fanout.threads import ThreadFanout

    if where == "threads":
        return ThreadFanout(threads)
    if where.startswith("ray:"):
        from holdfast.fanout.on_ray import RayFanout

        return RayFanout(where if where.startswith("ray://") else where.removeprefix("ray:"))
    raise UsageError(f"there is no fan-out {where!r}", hint="threads, ray:HOST:PORT, ray://HOST:PORT or ray:auto")
