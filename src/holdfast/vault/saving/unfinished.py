"""Saves of this machine that did not end: marks in its cache, held while a save runs. Safe to lose.

A mark is a file that its save keeps locked; the kernel lets go of it however the process ends. One that nobody holds
was left by a save that was killed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.errors import RefusedError, SourceChangedError
from holdfast.stores.protocol import Store, store_identity
from holdfast.vault.local_cache import cache_folder

__all__ = ["SaveMark", "Marks"]

_PREFIX = "saving-"
_DAY_NS = 24 * 3600 * 10**9
_NO_TROUBLE = (SourceChangedError, RefusedError)  # of the store, that is: the packs are in an index


class SaveMark:
    """The mark of one save, as a context: it goes when the save ends so that all its packs are listed."""

    def __init__(self, path: Path | None = None, descriptor: int = -1) -> None:
        self._path = path
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._path is not None and (error is None or isinstance(error, _NO_TROUBLE)):
            with suppress(OSError):
                self._path.unlink()
        self._let_go()

    def __del__(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Marks:
    """What this machine notes of one vault on one store: saves under way, and when it last looked for what."""

    def __init__(self, vault: bytes, store: Store) -> None:
        self._folder: Path | None = None
        if store.capabilities.durable:
            with suppress(RuntimeError):  # no home folder to be found
                self._folder = cache_folder(vault, store_identity(store))

    def begin(self) -> SaveMark:
        """Leave a mark, as far as this machine can keep one."""
        if self._folder is None:
            return SaveMark()
        path = self._folder / f"{_PREFIX}{os.urandom(8).hex()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            return SaveMark()
        with suppress(OSError):  # without locks, others take it for one that was left
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return SaveMark(path, descriptor)

    def unfinished(self) -> list[Path]:
        """Marks that saves have left which did not end."""
        try:
            return [path for path in self._folder.glob(f"{_PREFIX}*") if _is_left(path)] if self._folder else []
        except OSError:
            return []

    def remove(self, marks: list[Path]) -> None:
        """What these saves left was looked for."""
        for path in marks:
            with suppress(OSError):
                path.unlink()

    def is_due(self, what: str, now_ns: int) -> bool:
        """Whether `what` was not noted within the last day, or in the future."""
        if self._folder is None:
            return True
        try:
            noted = int((self._folder / what).read_text())
        except (OSError, ValueError):
            return True
        return not 0 <= now_ns - noted < _DAY_NS

    def note(self, what: str, now_ns: int) -> None:
        """`what` was done at that time."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / what).write_text(str(now_ns))


def _is_left(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # its save has just ended
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
