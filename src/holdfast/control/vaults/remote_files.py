"""Errors and facts of files as tools expect them that know file systems, not vaults."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from holdfast.clock import NANOSECONDS
from holdfast.control.snapshots.snapshot_paths import snapshot_name
from holdfast.errors import CredentialError, HoldfastError, NotFoundError, StoreUnreachableError, UsageError
from holdfast.vault.files.tree import SnapshotTree
from holdfast.vault.snapshots.finding import Listed

__all__ = ["as_os_errors", "not_there", "read_only", "facts_of", "facts_of_snapshot", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """Turn an error of Holdfast into the one that a caller of a file system expects, chained to it.

    FileNotFoundError, PermissionError, ConnectionError, ValueError (a reference that means several snapshots); all else
    is an input/output error, an OSError.
    """
    try:
        yield
    except HoldfastError as error:
        message = f"{error.message} ({error.hint})" if error.hint else error.message
        if isinstance(error, NotFoundError):
            raise FileNotFoundError(errno.ENOENT, message, path) from error
        if isinstance(error, CredentialError):
            raise PermissionError(errno.EACCES, message, path) from error
        if isinstance(error, StoreUnreachableError):
            raise ConnectionError(errno.EHOSTUNREACH, message, path) from error
        if isinstance(error, UsageError):
            raise ValueError(message) from error
        raise OSError(errno.EIO, message, path) from error


def not_there(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def read_only(path: str) -> OSError:
    return OSError(errno.EROFS, "snapshots never change: save a new one with `holdfast.open(…).save`", path)


def facts_of(name: str, tree: SnapshotTree, inner: str) -> dict[str, Any]:
    """What fsspec calls info of a file, folder or link. `name` is its path there. Raises FileNotFoundError."""
    entry = tree.entry(inner)
    facts: dict[str, Any] = {"name": name, "size": 0, "type": "directory", "snapshot": tree.root.id}
    if entry is None:
        if inner:
            raise not_there(name)
        return facts
    facts |= {"mode": entry.mode, "mtime": entry.mtime / NANOSECONDS, "mtime_ns": entry.mtime, "islink": False}
    if entry.type == "file":
        facts |= {"type": "file", "size": entry.size, "format": entry.format}
    elif entry.type == "link":
        facts |= {"type": "link", "islink": True, "destination": os.fsdecode(entry.target)}
    return facts


def facts_of_snapshot(listed: Listed) -> dict[str, Any]:
    """The same of a snapshot in the list of all. One that cannot be read has its id for a name, and its `error`."""
    root = listed.root
    if root is None:
        identity = listed.key.rpartition("/")[2]
        said = "" if listed.error is None else listed.error.message
        return {"name": identity, "size": 0, "type": "directory", "snapshot": identity, "error": said}
    return {
        "name": snapshot_name(root.asset, root.id),
        "size": 0,
        "type": "directory",
        "snapshot": root.id,
        "asset": root.asset,
        "step": root.step,
        "created": root.created / NANOSECONDS,
        "mtime": root.content / NANOSECONDS,
    }


def moment(nanoseconds: int) -> datetime:
    """In UTC, rounded down to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
