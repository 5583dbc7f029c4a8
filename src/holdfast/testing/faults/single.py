"""What may befall one operation of a store. `holdfast.testing.faults.script` decides which and when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from holdfast.clock import Clock
from holdfast.errors import HoldfastError, StorageFullError, StoreUnreachableError
from holdfast.stores.faulty import Fault, Operation

__all__ = [
    "Crash",
    "Harmless",
    "Failure",
    "LostAnswer",
    "Throttled",
    "Delay",
    "ShortRead",
    "Damaged",
    "FullDisk",
    "Stop",
]


class Crash(BaseException):
    """The process is as good as dead: not an Exception, so that no code which handles errors can go on after it."""


class Harmless:
    """A fault that does nothing; the others override what they need."""

    def struck(self, operation: Operation) -> Fault:
        """What befalls this one operation; called under the script's lock."""
        return self

    def before(self, operation: Operation) -> None:
        return

    def read(self, content: bytes) -> bytes:
        return content

    def after(self, operation: Operation) -> None:
        return


@dataclass
class Failure(Harmless):
    """It raises, and nothing took effect."""

    error: type[HoldfastError]

    def before(self, operation: Operation) -> None:
        raise self.error(f"scripted fault: {operation.verb} {operation.key} failed", object_name=operation.key)


@dataclass
class LostAnswer(Harmless):
    """It takes effect, and raises."""

    error: type[HoldfastError]

    def after(self, operation: Operation) -> None:
        raise self.error(
            f"scripted fault: the answer to {operation.verb} {operation.key} was lost", object_name=operation.key
        )


@dataclass
class Throttled(Harmless):
    """What an answer of 503 or 429 becomes (`stores/cloud_errors.py`): nothing took effect, and a retry may help."""

    retry_after: float

    def before(self, operation: Operation) -> None:
        raise StoreUnreachableError(
            f"scripted fault: cannot {operation.verb} {operation.key}: the store answered 503 SlowDown "
            f"(Retry-After: {self.retry_after:g} s)",
            object_name=operation.key,
        )


@dataclass
class Delay(Harmless):
    """It begins so many seconds later."""

    seconds: float
    clock: Clock

    def before(self, operation: Operation) -> None:
        self.clock.sleep(self.seconds)


@dataclass
class ShortRead(Harmless):
    """Readers get the first bytes only."""

    size: int

    def read(self, content: bytes) -> bytes:
        return content[: self.size]


@dataclass
class Damaged(Harmless):
    """Readers get one bit flipped."""

    byte: int

    def read(self, content: bytes) -> bytes:
        if not content:
            return content
        damaged = bytearray(content)
        damaged[self.byte % len(damaged)] ^= 1
        return bytes(damaged)


@dataclass
class FullDisk(Harmless):
    """There is room for so many bytes more."""

    room: int

    def struck(self, operation: Operation) -> Fault:
        if operation.size > self.room:
            return Failure(StorageFullError)
        self.room -= operation.size
        return Harmless()


@dataclass
class Stop(Harmless):
    """The process dies after so many operations of the verbs that are counted."""

    left: int
    counted: Collection[str]

    def struck(self, operation: Operation) -> Fault:
        if self.left <= 0:
            return _CrashBefore()
        if operation.verb in self.counted:
            self.left -= 1
        return _CrashAfter() if self.left == 0 else Harmless()


class _CrashBefore(Harmless):
    def before(self, operation: Operation) -> None:
        raise Crash(f"scripted crash: before {operation.verb} {operation.key}")


class _CrashAfter(Harmless):
    def after(self, operation: Operation) -> None:
        raise Crash(f"scripted crash: after {operation.verb} {operation.key}")
