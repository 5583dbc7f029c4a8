"""What Holdfast asks of a store: little, so that every object store and every file system can give it.

The contract is executable: `holdfast.testing.store_contract.StoreContract`. Each method states what holds after it
returned and what a caller may assume after it raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

__all__ = ["Buffer", "ObjectInfo", "Capabilities", "Store", "store_identity"]

Buffer: TypeAlias = bytes | bytearray | memoryview


class ObjectInfo(NamedTuple):
    """A stored object's name, size in bytes, and time of writing by the *store's* clock (ns since the epoch)."""

    key: str
    size: int
    modified_ns: int


class Capabilities(NamedTuple):
    """What a store can do beyond the contract, as data."""

    durable: bool  # what `put` and `create` returned survives a power cut (False: memory)
    remote: bool  # reading costs a network round trip, perhaps egress


class Store(Protocol):
    """One object store (or directory). Every method may be called from several threads at once.

    Keys are relative (`packs/ab/abcd…`): ASCII letters, digits, `-`, `_`, `.` and `/`, at most 512 characters; no
    segment is empty, ends with a dot or is longer than 200 (`holdfast.stores.keys`; else UsageError). No key may be
    another key's folder (`a` and `a/b`). All errors are of `holdfast.errors`: `ObjectNotFoundError`,
    `AlreadyExistsError`, `NotFoundError` (no such bucket), `PermissionDeniedError`, `StorageFullError`,
    `StoreUnreachableError` and `ConflictError` (retrying may help), `FailedError` (it will not).
    """

    @property
    def url(self) -> str:
        """Where it is, as a person would write it, without credentials."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        """Write the whole object, atomically and durably: readers see all of it or nothing. Idempotent.

        Only for names that are derived from the content: an existing object of that name is replaced by equal bytes.
        A sequence of buffers is written one after the other. After an error the object may or may not be there.
        """
        ...

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        """Like `put`, but only if the name is free; of many callers at once exactly one wins.

        Raises AlreadyExistsError when the name is taken (also when *this* caller's earlier attempt took it and the
        answer was lost: compare the bytes). Not for objects above 64 MiB (UsageError): a conditional put is a single
        request.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectNotFoundError."""
        ...

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """For each (start, length), in order, exactly those bytes, in as few requests as the store allows.

        Raises ObjectNotFoundError (also when no range is asked for), DamageError when the object ends before a range
        does, UsageError for a negative number. A range may be empty.
        """
        ...

    def head(self, key: str) -> ObjectInfo:
        """Size and time. Raises ObjectNotFoundError."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix` (any string, not only a folder), in order of their keys.

        With `after` (any string), only those whose keys come after it; where the store can, without asking for the
        others. Errors come while iterating. Objects written or deleted meanwhile may or may not be among them.
        """
        ...

    def folders(self, prefix: str) -> Sequence[str]:
        """The folders directly below `prefix` (empty, or with a slash at its end), in order: the different beginnings
        of keys up to the next slash, which is part of them. Whatever lies in them is not looked at.

        One whose objects are all deleted may still be among them.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error when it is not there. Idempotent."""
        ...


def store_identity(store: Store) -> str:
    """What tells the store from every other one that this machine may know by the same URL. Holds no credentials.

    The attribute `identity` of a store that has one, for instance with the endpoint that its bucket is at; else the
    URL. A store that wraps another one passes that one's on.
    """
    identity = getattr(store, "identity", None)
    return identity if isinstance(identity, str) else store.url
