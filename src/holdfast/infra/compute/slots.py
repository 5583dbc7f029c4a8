"""Which machines of a pool of this machine are taken, by which key: one small file for each pool, changed under a lock.

Whoever holds the lock sees and changes all; it is released when its process ends, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast import durable
from holdfast.errors import DamageError, FailedError, HoldfastError, PermissionDeniedError, StorageFullError

__all__ = ["Slots", "replace_file", "translated"]

T = TypeVar("T")
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`taken`: number of a slot → the key that has it."""

    taken: dict[str, str] = {}


class Slots:
    """Of the pool whose state lies in `folder`, which is made when something is taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "slots.json"

    def taken(self) -> dict[int, str]:
        """Number → key. Raises DamageError, FailedError."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise translated(error, self._path) from error
        return decode_slots(data, str(self._path))

    @contextmanager
    def changing(self) -> Iterator[Callable[[dict[int, str]], None]]:
        """While it lasts nobody else changes anything. It gives how the new state is kept, durably."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise translated(error, self._folder) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._keep
        finally:
            os.close(descriptor)

    def _keep(self, taken: dict[int, str]) -> None:
        kept = _Kept(taken={str(number): key for number, key in sorted(taken.items())})
        replace_file(self._path, msgspec.json.encode(kept))


def decode_slots(data: bytes, name: str) -> dict[int, str]:
    """Raises DamageError."""
    try:
        taken = msgspec.json.decode(data, type=_Kept).taken
        return {int(number): key for number, key in taken.items()}
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DamageError(
            f"{name} does not say which machines are taken",
            hint="see what runs there, stop it, and remove the file",
            object_name=name,
        ) from error


def replace_file(path: Path, data: bytes) -> None:
    """Durable when it returns; whoever reads it finds the old or the new content. Raises FailedError and its kin."""
    try:
        durable.replace_file(path, data)
    except OSError as error:
        raise translated(error, path) from error


def translated(error: OSError, path: Path) -> HoldfastError:
    """As one of ours."""
    if error.errno in _NO_SPACE:
        return StorageFullError(f"{path} cannot be written: no space is left", object_name=str(path))
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}: permission denied", object_name=str(path))
    return FailedError(f"{path}: {error.strerror or error}", object_name=str(path))
