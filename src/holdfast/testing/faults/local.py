"""Processes and machines that die between the system calls of `LocalStore`.

::

    with LocalTrouble(folder).tear_write(at=2, keep=100) as trouble:   # or .stop_after(17)
        ...  # `Crash` comes out of it
    trouble.lose_power()   # optional: what was not synced may be gone, too

A process that was killed leaves what its system calls have done. A machine that loses power leaves less: of a file,
what was written before its last fsync, and zeros or nothing behind that; of a folder, the names that it had at its last
fsync, and perhaps some of the changes since. What the folder held when the context began counts as synced. Both are
worked out from the calls of `os.fsync` that the modules of the store make; the disk itself is not asked.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import ModuleType, TracebackType
from typing import Any, Self, TypeAlias

from holdfast.stores import files, folders, local
from holdfast.testing.faults.single import Crash

__all__ = ["LocalTrouble"]

_MODULES: tuple[ModuleType, ...] = (files, folders, local)
_CHANGING = ("write", "writev", "fsync", "link", "rename", "unlink", "mkdir")
_ALLOWED_TO_THE_DEAD = ("close",)  # the kernel does it for them
_Id: TypeAlias = tuple[int, int]
_Names: TypeAlias = Mapping[str, _Id]


class LocalTrouble:
    """What happens to `LocalStore`s below `folder` while the context lasts; sentences are added before it begins.

    Only one may be active in a process. `calls` counts the system calls so far that change something.
    """

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.calls = 0
        self._folder = folder
        self._random = Random(seed)
        self._stop_after: int | None = None
        self._tear: tuple[int, int] | None = None
        self._writes = 0
        self._dead = False
        self._births: dict[int, int] = {}  # inode → how often a file was made there: numbers are used again
        self._contents: dict[_Id, bytes] = {}  # what is on the disk
        self._names: dict[_Id, _Names] = {}  # of a folder, on the disk

    def stop_after(self, count: int) -> Self:
        """The process dies when the `count`-th changing system call has been made."""
        self._stop_after = count
        return self

    def tear_write(self, *, at: int, keep: int) -> Self:
        """The process dies within the `at`-th call that writes into a file, of which the first `keep` bytes arrive."""
        self._tear = at, keep
        return self

    def __enter__(self) -> Self:
        for path in [self._folder, *self._folder.rglob("*")] if self._folder.exists() else []:
            self._sync(path.lstat(), str(path))
        for module in _MODULES:
            module.os = _System(self)  # type: ignore[attr-defined]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in _MODULES:
            module.os = os  # type: ignore[attr-defined]

    def lose_power(self) -> None:
        """Make the folder what it may be when the power comes back. Call it when the context has ended."""
        if self._folder.exists():
            self._lose(self._folder)

    def call(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """One system call of the store. For `_System`."""
        if name in _ALLOWED_TO_THE_DEAD:
            return function(*args, **options)
        if self._dead:
            raise Crash(f"scripted crash: before {name}")
        if name == "open":
            return self._open(function, *args, **options)
        if name not in _CHANGING:
            return function(*args, **options)
        self._tear_if_due(name, args)
        result = function(*args, **options)
        if name == "fsync":
            self._sync(os.fstat(args[0]), f"/proc/self/fd/{args[0]}")
        self.calls += 1
        if self.calls == self._stop_after:
            self._die(name)
        return result

    def _open(self, function: Callable[..., int], path: Any, flags: int, *args: Any, **options: Any) -> int:
        descriptor = function(path, flags, *args, **options)
        if flags & os.O_EXCL:
            inode = os.fstat(descriptor).st_ino
            self._births[inode] = self._births.get(inode, 0) + 1
        return descriptor

    def _tear_if_due(self, name: str, args: tuple[Any, ...]) -> None:
        if name not in ("write", "writev"):
            return
        self._writes += 1
        if self._tear is None or self._writes != self._tear[0]:
            return
        data = b"".join(args[1]) if name == "writev" else bytes(args[1])
        kept = data[: self._tear[1]]
        while kept:
            kept = kept[os.write(args[0], kept) :]
        self._die(name)

    def _die(self, name: str) -> None:
        self._dead = True
        raise Crash(f"scripted crash: at {name}, system call {self.calls}")

    def _sync(self, found: os.stat_result, path: str) -> None:
        if stat.S_ISDIR(found.st_mode):
            self._names[self._id(found.st_ino)] = self._now(Path(path))
        elif stat.S_ISREG(found.st_mode):
            self._contents[self._id(found.st_ino)] = Path(path).read_bytes()

    def _id(self, inode: int) -> _Id:
        return inode, self._births.get(inode, 0)

    def _now(self, folder: Path) -> _Names:
        return {entry.name: self._id(entry.inode()) for entry in os.scandir(folder)}

    def _lose(self, folder: Path) -> None:
        durable, now = self._names.get(self._id(folder.stat().st_ino), {}), self._now(folder)
        for name in sorted(durable.keys() | now.keys()):
            path, before, after = folder / name, durable.get(name), now.get(name)
            if before != after and self._random.random() < 0.5:
                self._undo(path, before)
            elif after is not None and path.is_dir():
                self._lose(path)
            elif after is not None:
                self._lose_content(path, after)

    def _undo(self, path: Path, before: _Id | None) -> None:
        """Let the name mean what it meant, of which only the content is left."""
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(self._contents.get(before, b""))

    def _lose_content(self, path: Path, which: _Id) -> None:
        size = path.stat().st_size
        synced = self._contents.get(which, b"")
        if len(synced) >= size:
            return
        # The new length may be on the disk before the bytes are: the rest then reads as zeros.
        kept = self._random.choice((size, len(synced), self._random.randint(len(synced), size)))
        path.write_bytes(synced + bytes(kept - len(synced)))


class _System:
    """The module `os`, as the store sees it."""

    def __init__(self, trouble: LocalTrouble) -> None:
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if not callable(found) or isinstance(found, type) or name == "fspath":
            return found
        return lambda *args, **options: self._trouble.call(name, found, *args, **options)
