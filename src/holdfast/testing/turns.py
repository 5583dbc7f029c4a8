"""Several actors on one store, one operation at a time: who goes next is decided outside, so that it can be repeated.

Each actor's work runs in a thread of its own, which stops before every operation on a store until it is given the turn.
Only one thread runs at any moment: the one that has the turn, from one operation to the next. With `without_pools`, an
actor has no other threads, and what happens is a function of the order of turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from holdfast.clock import Clock
from holdfast.errors import HoldfastError
from holdfast.stores.faulty import Fault, FaultyStore, Operation
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Crash

__all__ = ["Outcome", "Actor"]

_SECONDS_MAX = 120.0  # between two operations; more means that the work waits for something that nobody will do


class Outcome(NamedTuple):
    """How a piece of work ended: with a value, an error of Holdfast, or (`crashed`) with the end of its process."""

    value: object = None
    error: HoldfastError | None = None
    crashed: bool = False


class Actor:
    """One process so to speak: a piece of work at a time, stopped before each operation of its stores.

    `pending` is the operation that it wants to do next, None when it has nothing to do; `waits_since` is when it came
    to that, on the monotonic clock.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.pending: Operation | None = None
        self.waits_since = 0.0
        self.turns = 0
        self.last: Operation | None = None  # what it did with its last turn
        self._clock = clock
        self._granted = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._dying = False
        self._dies_after = False
        self._outcome: Outcome | None = None
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        return self.pending is not None

    def store(self, store: Store) -> FaultyStore:
        """The store as this actor sees it."""
        return FaultyStore(store, _Gate(self))

    def begin(self, work: Callable[[], object]) -> Outcome | None:
        """Run the work up to its first operation. Its outcome, if it needs none."""
        if self.is_busy:
            raise RuntimeError(f"{self.name} has something to do already")
        self._outcome, self._dying, self._dies_after = None, False, False
        threading.Thread(target=self._run, args=(work,), name=self.name, daemon=True).start()
        return self._wait()

    def step(self) -> Outcome | None:
        """Let it do its pending operation, and go on up to the next one. The outcome, if the work ended."""
        if self.pending is None:
            raise RuntimeError(f"{self.name} has nothing to do")
        self.turns += 1
        self.last, self.pending = self.pending, None
        self._granted.release()
        return self._wait()

    def die(self, *, after: bool) -> Outcome | None:
        """The process ends: instead of its pending operation, or (`after`) when that has taken effect."""
        self._dying, self._dies_after = not after, after
        return self.step()

    def reached(self, operation: Operation) -> None:
        """The actor's thread comes to an operation. Raises Crash when its process has ended."""
        if self._dying:
            raise Crash(f"scripted crash of {self.name}: before {operation.verb} {operation.key}")
        self.pending, self.waits_since = operation, self._clock.monotonic()
        self._stopped.release()
        self._granted.acquire()
        if self._dying:
            raise Crash(f"scripted crash of {self.name}: before {operation.verb} {operation.key}")

    def done(self, operation: Operation) -> None:
        """The operation took effect. Raises Crash when the process ends there."""
        if self._dies_after:
            self._dying = True
            raise Crash(f"scripted crash of {self.name}: after {operation.verb} {operation.key}")

    def _run(self, work: Callable[[], object]) -> None:
        try:
            self._outcome = Outcome(work())
        except HoldfastError as error:
            self._outcome = Outcome(error=error)
        except Crash:
            self._outcome = Outcome(crashed=True)
        except BaseException as error:  # noqa: BLE001 - raised again where somebody can see it
            self._failure = error
        finally:
            self.pending = None
            self._stopped.release()

    def _wait(self) -> Outcome | None:
        if not self._stopped.acquire(timeout=_SECONDS_MAX):
            raise RuntimeError(f"{self.name} neither ends nor comes to an operation")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return self._outcome


class _Gate:
    """The script of an actor's store, and at once the only fault in it: wait for the turn."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def due(self, operation: Operation) -> Sequence[Fault]:
        return (self,)

    def before(self, operation: Operation) -> None:
        self._actor.reached(operation)

    def read(self, content: bytes) -> bytes:
        return content

    def after(self, operation: Operation) -> None:
        self._actor.done(operation)
