"""From a URL to a store that can lock, where its cloud can."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import RefusedError
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.stores.retention.attached import LockableStore
from holdfast.stores.retention.port import ObjectLocks, locks_of

__all__ = ["open_lockable", "with_locks", "with_locks_if_any", "locks_at"]

_CLOUDS = ("s3", "gs", "az")


def open_lockable(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    note: Callable[[str], None] | None = None,
) -> Store:
    """The store at `url` with its locks. Raises RefusedError (it can lock nothing), MissingExtraError, UsageError."""
    return with_locks(open_store(url, options=options, clock=clock, note=note), options)


def with_locks(store: Store, options: Mapping[str, str] | None = None) -> Store:
    """`store`, which was opened with these options, with its locks. Raises as `open_lockable`."""
    if locks_of(store) is not None:
        return store
    locks = locks_at(store.url, options)
    return LockableStore(store, lambda: locks)


def with_locks_if_any(store: Store, options: Mapping[str, str] | None = None) -> Store:
    """The same, where the store's kind has locks at all; they are made when they are asked for."""
    if not store.url.startswith(tuple(f"{scheme}://" for scheme in _CLOUDS)):
        return store
    return LockableStore(store, lambda: locks_at(store.url, options))


def locks_at(url: str, options: Mapping[str, str] | None = None) -> ObjectLocks:
    """The locks of the bucket at `url`. Nothing is sent yet. Raises RefusedError, MissingExtraError, UsageError."""
    scheme, separator, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    given = dict(options or {})
    if separator and scheme == "s3":
        from holdfast.stores.retention.s3 import S3Locks

        return S3Locks(bucket, prefix, given)
    if separator and scheme == "az":
        from holdfast.stores.retention.azure import AzureLocks

        return AzureLocks(bucket, prefix, given)
    if separator and scheme == "gs":
        from holdfast.stores.retention.gcs import GcsLocks

        return GcsLocks(bucket, prefix, given)
    raise RefusedError(
        f"{url} cannot lock objects: whoever may write there may delete everything",
        hint="keep a replica in a bucket with object lock (s3://, az://, gs://), or on a machine of other people",
    )
