"""What callers hand in to be written: one buffer, or several that follow one another."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import UsageError
from holdfast.stores.protocol import Buffer

__all__ = ["CREATE_SIZE_MAX", "as_views", "check_create_size", "joined", "total_size"]

CREATE_SIZE_MAX = 64 << 20  # bytes; the protocol's limit for `create`, on all stores alike


def as_views(data: Buffer | Sequence[Buffer]) -> list[memoryview]:
    """The non-empty buffers of `data` as flat views of bytes, without a copy. Raises UsageError for strided views."""
    buffers = [data] if isinstance(data, bytes | bytearray | memoryview) else data
    views = [memoryview(buffer) for buffer in buffers]
    if not all(view.c_contiguous for view in views):
        raise UsageError("a buffer to be written is not contiguous", hint="copy it first")
    return [view.cast("B") for view in views if view.nbytes]


def total_size(data: Buffer | Sequence[Buffer]) -> int:
    """Bytes in all buffers together."""
    return sum(view.nbytes for view in as_views(data))


def joined(data: Buffer | Sequence[Buffer]) -> bytes:
    """All bytes of `data` in one object; no copy when `data` already is that."""
    return data if isinstance(data, bytes) else b"".join(as_views(data))


def check_create_size(key: str, views: Sequence[memoryview]) -> int:
    """The bytes in all views together; UsageError if that is too much for one conditional put."""
    size = sum(view.nbytes for view in views)
    if size > CREATE_SIZE_MAX:
        raise UsageError(
            f"{key} has {size} bytes, and no more than {CREATE_SIZE_MAX} can be written only if the name is free",
            hint="put large content under a name derived from it, and create a small object that refers to it",
            object_name=key,
        )
    return size
