"""A store on which things go wrong as a script says, and which remembers every operation.

For rehearsals and tests. What may go wrong, and when, is said in `holdfast.testing.faults`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from holdfast.stores.buffers import total_size
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["Operation", "Fault", "FaultScript", "FaultyStore"]

_Result = TypeVar("_Result")


class Operation(NamedTuple):
    """One call of a store: the method's name, the key, and the bytes of content it moved.

    Of `list` and `folders` the key is the prefix. While an operation runs, the size of a write is known and that of a
    read is 0.
    """

    verb: str
    key: str
    size: int = 0


class Fault(Protocol):
    """Something that happens to one operation."""

    def before(self, operation: Operation) -> None:
        """Called before the store is asked: may wait, and may raise, so that nothing takes effect."""
        ...

    def read(self, content: bytes) -> bytes:
        """What the caller of `get` or `get_ranges` receives in place of what the store holds."""
        ...

    def after(self, operation: Operation) -> None:
        """Called when the store has done it: may raise, so that the answer is lost."""
        ...


class FaultScript(Protocol):
    """Decides, once for each operation and from any thread, which faults befall it."""

    def due(self, operation: Operation) -> Sequence[Fault]: ...


class FaultyStore:
    """`store`, with the faults of a script. `log` holds the operations that came to an answer, in that order."""

    def __init__(self, store: Store, faults: FaultScript) -> None:
        self._store = store
        self._faults = faults
        self._lock = threading.Lock()
        self._log: list[Operation] = []

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    @property
    def log(self) -> Sequence[Operation]:
        """What was done so far, by verb, key and bytes; failed operations are not in it, lost answers are."""
        with self._lock:
            return tuple(self._log)

    def bytes_moved(self, *verbs: str) -> int:
        """Bytes of content that operations of these verbs moved (`"put", "create"`: written; `"get", …`: read)."""
        return sum(operation.size for operation in self.log if operation.verb in verbs)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._run(Operation("put", key, total_size(data)), lambda _: self._store.put(key, data))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._run(Operation("create", key, total_size(data)), lambda _: self._store.create(key, data))

    def get(self, key: str) -> bytes:
        return self._run(Operation("get", key), lambda faults: _altered(self._store.get(key), faults))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._run(
            Operation("get_ranges", key),
            lambda faults: [_altered(piece, faults) for piece in self._store.get_ranges(key, ranges)],
        )

    def head(self, key: str) -> ObjectInfo:
        return self._run(Operation("head", key), lambda _: self._store.head(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """One operation, when the first name is asked for."""
        yield from self._run(Operation("list", prefix), lambda _: self._store.list(prefix, after))

    def folders(self, prefix: str) -> Sequence[str]:
        return self._run(Operation("folders", prefix), lambda _: self._store.folders(prefix))

    def delete(self, key: str) -> None:
        self._run(Operation("delete", key), lambda _: self._store.delete(key))

    def _run(self, operation: Operation, action: Callable[[Sequence[Fault]], _Result]) -> _Result:
        faults = self._faults.due(operation)
        for fault in faults:
            fault.before(operation)
        result = action(faults)
        done = operation._replace(size=operation.size or _size(result))
        with self._lock:
            self._log.append(done)
        for fault in faults:
            fault.after(done)
        return result


def _altered(content: bytes, faults: Sequence[Fault]) -> bytes:
    for fault in faults:
        content = fault.read(content)
    return content


def _size(result: object) -> int:
    if isinstance(result, bytes):
        return len(result)
    if isinstance(result, list):
        return sum(len(piece) for piece in result if isinstance(piece, bytes))
    return 0
