"""Plain files as a trainer writes them: in place, or by rename where a reader may look at any moment; never fsynced."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast.errors import DamageError, FailedError, NotFoundError, StorageFullError

__all__ = ["write_file", "write_file_by_rename", "read_file", "read_json", "remove_file", "make_folder"]

_T = TypeVar("_T")


def write_file(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Write the parts one after the other. Raises StorageFullError, FailedError."""
    try:
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise _cannot("write", path, error) from error


def write_file_by_rename(path: Path, content: bytes) -> None:
    """A reader sees the old content or the new, never a part. Raises StorageFullError, FailedError."""
    temporary = path.with_name(f".{path.name}.writing")
    write_file(temporary, [content])
    try:
        temporary.replace(path)
    except OSError as error:
        raise _cannot("rename", path, error) from error


def read_file(path: Path) -> bytes:
    """The whole file. Raises NotFoundError, FailedError."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist", object_name=str(path)) from error
    except OSError as error:
        raise _cannot("read", path, error) from error


def read_json(path: Path, kind: type[_T]) -> _T:
    """The file as a `kind` (a msgspec Struct). Raises NotFoundError, DamageError."""
    content = read_file(path)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(f"{path} is not the JSON that the trainer writes", object_name=str(path)) from error


def remove_file(path: Path) -> None:
    """Remove it if it is there. Raises FailedError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot("remove", path, error) from error


def make_folder(path: Path) -> None:
    """Make it and its parents unless it is there. Raises StorageFullError, FailedError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot("make", path, error) from error


def _cannot(verb: str, path: Path, error: OSError) -> FailedError:
    kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else FailedError
    return kind(f"cannot {verb} {path}: {error.strerror or error}", object_name=str(path))
