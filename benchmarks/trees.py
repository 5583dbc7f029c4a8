"""Folders: how large, whether equal, made durable, dropped from the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["files", "tree_bytes", "differences", "remove", "forget_cached"]

_BLOCK = 1 << 20


def files(root: Path) -> Iterator[Path]:
    """All regular files below `root`, in order."""
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def tree_bytes(root: Path) -> int:
    """The sum of the sizes of its files; 0 if there is no such folder."""
    return sum(path.stat().st_size for path in files(root))


def differences(expected: Path, found: Path) -> list[str]:
    """What is not the same, file by file and byte by byte: the first of it, and how much more there is."""
    names = {path.relative_to(expected) for path in files(expected)}
    others = {path.relative_to(found) for path in files(found)}
    told = [f"{name} is missing" for name in sorted(names - others)]
    told += [f"{name} is too many" for name in sorted(others - names)]
    told += [f"{name} differs" for name in sorted(names & others) if not _same(expected / name, found / name)]
    return told if len(told) < 3 else [*told[:2], f"{len(told) - 2} other differences"]


def _same(one: Path, other: Path) -> bool:
    """Like filecmp, but with small buffers and no cache of earlier answers."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb", buffering=0) as left, other.open("rb", buffering=0) as right:
        while block := left.read(_BLOCK):
            rest = memoryview(block)
            while rest:
                piece = right.read(len(rest))
                if not piece or piece != rest[: len(piece)]:
                    return False
                rest = rest[len(piece) :]
    return True


def remove(path: Path) -> None:
    """Remove a folder or a file, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def forget_cached(root: Path) -> None:
    """Write the files of `root` to their disk and drop them from the page cache (RAM-backed storage keeps them)."""
    for path in files(root):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
