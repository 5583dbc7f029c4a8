"""How many round trips an operation takes one after the other: counted by logic, so that no machine's load matters.

Each request costs its thread one tick of a clock that only this module has (Lamport, *Time, Clocks, and the Ordering
of Events in a Distributed System*, 1978). A thread begins at the tick of who
starts it; a task that a pool runs, at the tick at which it was handed in, or when
one of the pool's workers is free; who takes a task's result goes on at the tick at which that was ready. So requests
that need not wait for each other cost one tick together, however the threads happen to run.

::

    trips = RoundTrips()
    with trips.counting():
        replicate(source, trips.of(target))
    trips.depth, trips.requests
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["Request", "RoundTrips", "TracedStore"]


class Request(NamedTuple):
    """One request: the tick that it took, from 1 on, the store that it went to, and what was asked of what."""

    tick: int
    store: str
    method: str
    key: str


class RoundTrips:
    """Counts what the stores that it wraps are asked, by tick."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._slots: dict[ThreadPoolExecutor, list[int]] = {}
        self._ready: dict[Future[Any], int] = {}
        self._ended: dict[threading.Thread, int] = {}
        self.requests: list[Request] = []

    @property
    def depth(self) -> int:
        """Requests one after the other."""
        return max((one.tick for one in self.requests), default=0)

    def of(self, store: Store, name: str = "target") -> TracedStore:
        """The store, each of whose requests is counted."""
        return TracedStore(store, name, self)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Meanwhile threads and pools carry the clock along. For one `RoundTrips` of the process at a time."""
        submit, start, join = ThreadPoolExecutor.submit, threading.Thread.start, threading.Thread.join
        result, set_result, set_exception = Future.result, Future.set_result, Future.set_exception

        def submitting(pool: ThreadPoolExecutor, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
            began = self.now

            def timed() -> Any:
                with self._lock:
                    slots = self._slots.setdefault(pool, [0] * pool._max_workers)
                    free = heapq.heappop(slots)
                self.now = max(began, free)
                try:
                    return work(*given, **named)
                finally:
                    with self._lock:
                        heapq.heappush(slots, self.now)

            return submit(pool, timed)

        def starting(thread: threading.Thread) -> None:
            began, run = self.now, thread.run

            def running() -> None:
                self.now = began
                try:
                    run()
                finally:
                    self._ended[thread] = self.now

            thread.run = running  # type: ignore[method-assign]
            start(thread)

        def joining(thread: threading.Thread, timeout: float | None = None) -> None:
            join(thread, timeout)
            self.now = max(self.now, self._ended.get(thread, 0))

        def ready(set_to: Callable[[Future[Any], Any], None]) -> Callable[[Future[Any], Any], None]:
            def setting(future: Future[Any], what: Any) -> None:
                self._ready[future] = self.now
                set_to(future, what)

            return setting

        def taking(future: Future[Any], timeout: float | None = None) -> Any:
            try:
                return result(future, timeout)
            finally:
                self.now = max(self.now, self._ready.get(future, 0))

        self.now = 0
        with ExitStack() as patched:
            for owner, name, replacement in (
                (ThreadPoolExecutor, "submit", submitting),
                (threading.Thread, "start", starting),
                (threading.Thread, "join", joining),
                (Future, "result", taking),
                (Future, "set_result", ready(set_result)),
                (Future, "set_exception", ready(set_exception)),
            ):
                patched.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, replacement)
            yield

    @property
    def now(self) -> int:
        """The tick of the calling thread."""
        return getattr(self._local, "now", 0)

    @now.setter
    def now(self, tick: int) -> None:
        self._local.now = tick

    def tick(self, store: str, method: str, key: str) -> None:
        """A request of the calling thread."""
        self.now += 1
        with self._lock:
            self.requests.append(Request(self.now, store, method, key))


class TracedStore:
    """`store`, whose requests tick. A listing is one request for each 1000 names, as the clouds give them."""

    def __init__(self, store: Store, name: str, trips: RoundTrips) -> None:
        self._store = store
        self._name = name
        self._trips = trips

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities._replace(remote=True)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._tick("put", key)
        return self._store.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._tick("create", key)
        return self._store.create(key, data)

    def get(self, key: str) -> bytes:
        self._tick("get", key)
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._tick("get_ranges", key)
        return self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        self._tick("head", key)
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._tick("list", prefix)
        for number, info in enumerate(self._store.list(prefix, after), 1):
            yield info
            if number % _PAGE == 0:
                self._tick("list", prefix)

    def folders(self, prefix: str) -> Sequence[str]:
        self._tick("folders", prefix)
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._tick("delete", key)
        self._store.delete(key)

    def _tick(self, method: str, key: str) -> None:
        self._trips.tick(self._name, method, key)


_PAGE = 1000
