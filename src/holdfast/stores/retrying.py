"""A store that tries again: only what may help, only so often, and never so that a conditional put meets itself."""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import AlreadyExistsError, HoldfastError, ObjectNotFoundError
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.buffers import joined
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.units import format_duration

__all__ = ["RetryPolicy", "RetryingStore"]

_Result = TypeVar("_Result")


class RetryPolicy(NamedTuple):
    """How often and how long. The delay before attempt n+1 is random, evenly between 0 and
    min(`delay_seconds_max`, `first_delay_seconds` · 2^(n-1)): "full jitter" (Brooker, AWS Architecture Blog, 2015).
    """

    attempts_max: int = 6
    first_delay_seconds: float = 0.2
    delay_seconds_max: float = 15.0
    total_seconds_max: float = 120.0  # no attempt begins later than this after the first one


class RetryingStore:
    """`store`, with every operation repeated while its error says that a retry may help (`HoldfastError.retry`).

    `create`: when an attempt fails without telling whether it took effect and a later one finds the name taken, the
    object is read back. Equal bytes count as success: so content that several callers might create alike needs
    something in it that tells them apart. `note` receives one line for each retry.
    """

    def __init__(
        self,
        store: Store,
        policy: RetryPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        random: random_numbers.Random | None = None,
        *,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._policy = policy or RetryPolicy()
        self._clock = clock
        self._random = random or random_numbers.SystemRandom()
        self._note = note

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def archives(self) -> Archives | None:
        return archives_of(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._repeat(lambda: self._store.put(key, data))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        attempts = _Attempts(self._policy, self._clock, self._random)
        while True:
            try:
                return self._store.create(key, data)
            except AlreadyExistsError as error:
                mine = self._find_equal(key, data) if attempts.failed else None
                if mine is None:
                    raise
                self._tell(f"{key} had been written by an attempt whose answer was lost", error)
                return mine
            except HoldfastError as error:
                self._wait(attempts, error)

    def get(self, key: str) -> bytes:
        return self._repeat(lambda: self._store.get(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._repeat(lambda: self._store.get_ranges(key, ranges))

    def head(self, key: str) -> ObjectInfo:
        return self._repeat(lambda: self._store.head(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """A listing that breaks off goes on behind the last name that was handed out."""
        attempts = _Attempts(self._policy, self._clock, self._random)
        last = after
        while True:
            try:
                for info in self._store.list(prefix, last):
                    if info.key > last:
                        last = info.key
                        yield info
                return
            except HoldfastError as error:
                self._wait(attempts, error)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._repeat(lambda: self._store.folders(prefix))

    def delete(self, key: str) -> None:
        self._repeat(lambda: self._store.delete(key))

    def _repeat(self, action: Callable[[], _Result]) -> _Result:
        attempts = _Attempts(self._policy, self._clock, self._random)
        while True:
            try:
                return action()
            except HoldfastError as error:
                self._wait(attempts, error)

    def _wait(self, attempts: _Attempts, error: HoldfastError) -> None:
        """Sleep before the next attempt, or raise the error again if there is to be none."""
        delay = attempts.next_delay(error)
        if delay is None:
            raise error
        self._tell(f"{self.url}: trying again in {format_duration(delay)}", error)
        self._clock.sleep(delay)

    def _tell(self, what: str, error: HoldfastError) -> None:
        if self._note is not None:
            self._note(f"{what} ({error})")

    def _find_equal(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo | None:
        try:
            return self.head(key) if self.get(key) == joined(data) else None
        except ObjectNotFoundError:
            return None


class _Attempts:
    """How many attempts of one operation have failed, and since when."""

    def __init__(self, policy: RetryPolicy, clock: Clock, random: random_numbers.Random) -> None:
        self.failed = 0
        self._policy = policy
        self._clock = clock
        self._random = random
        self._began = clock.monotonic()

    def next_delay(self, error: HoldfastError) -> float | None:
        """Count a failure; seconds until the next attempt, or None when this was the last."""
        self.failed += 1
        if not error.retry or self.failed >= self._policy.attempts_max:
            return None
        longest = min(self._policy.delay_seconds_max, self._policy.first_delay_seconds * 2 ** (self.failed - 1))
        delay = self._random.uniform(0, longest)
        elapsed = self._clock.monotonic() - self._began
        return delay if elapsed + delay <= self._policy.total_seconds_max else None
