"""A store with locks on which things go wrong: what is asked of its locks counts as operations, too."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.stores.faulty import FaultScript, FaultyStore, Operation
from holdfast.stores.protocol import Capabilities, Store
from holdfast.stores.retention.port import LockSupport, ObjectLocks, Retained, Retention, Version, locks_of

__all__ = ["FaultyLockableStore"]


class FaultyLockableStore(FaultyStore):
    """`store`, which has locks, with the faults of a script. Requests about locks appear as the verbs of a store that
    are like them: `put` (lock, restore a version), `head` (ask for a lock), `list` (versions), `get` (read one).

    It claims to be durable, so that a machine remembers what it saw there.
    """

    def __init__(self, store: Store, faults: FaultScript) -> None:
        super().__init__(store, faults)
        found = locks_of(store)
        if found is None:
            raise TypeError(f"{store.url} has no locks")
        self._locks: ObjectLocks = found

    @property
    def locks(self) -> FaultyLockableStore:
        return self

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=True, remote=False)

    def support(self) -> LockSupport:
        return self._run(Operation("head", ""), lambda _: self._locks.support())

    def now_ns(self) -> int:
        return self._run(Operation("head", ""), lambda _: self._locks.now_ns())

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        return self._run(Operation("put", key), lambda _: self._locks.retain(key, retention, version))

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        return self._run(Operation("head", key), lambda _: self._locks.retention_of(key, version))

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        self._run(Operation("put", key), lambda _: self._locks.legal_hold(key, on, version))

    def versions(self, prefix: str) -> Iterator[Version]:
        yield from self._run(Operation("list", prefix), lambda _: list(self._locks.versions(prefix)))

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        return self._run(Operation("get", key), lambda _: self._locks.read_version(key, version, span))

    def restore_version(self, version: Version) -> None:
        self._run(Operation("put", version.key), lambda _: self._locks.restore_version(version))
