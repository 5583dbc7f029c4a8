"""Whole writes and reads of open files, however few bytes the system moves at a time. Everything raises OSError."""

from __future__ import annotations

import os
from collections.abc import Sequence

from holdfast.stores.ranges import ended_early

__all__ = ["write_file", "read_at", "read_into"]

_BUFFERS_PER_CALL = 1024  # IOV_MAX on Linux


def write_file(folder: int, name: str, views: Sequence[memoryview]) -> os.stat_result:
    """Write a new file with mode 0600 (less umask) into the open folder, and fsync it."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        _write_all(descriptor, views)
        os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, views: Sequence[memoryview]) -> None:
    waiting = [*reversed(views)]
    while waiting:
        batch = waiting[: -_BUFFERS_PER_CALL - 1 : -1]
        written = os.writev(descriptor, batch)
        while waiting and written >= waiting[-1].nbytes:
            written -= waiting.pop().nbytes
        if written:
            waiting[-1] = waiting[-1][written:]


def read_at(key: str, descriptor: int, start: int, length: int) -> bytes:
    """`length` bytes at `start` of the open file. DamageError, which names `key`, when it ends earlier."""
    content = os.pread(descriptor, length, start)
    if len(content) == length:
        return content
    pieces = [content]  # one system call returns at most 2 GiB
    done = len(content)
    while done < length:
        piece = os.pread(descriptor, length - done, start + done)
        if not piece:
            raise ended_early(key, None, start, length)
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces)


def read_into(key: str, descriptor: int, start: int, out: memoryview) -> None:
    """Fill `out` from `start` of the open file on. DamageError, which names `key`, when it ends earlier."""
    done = 0
    while done < len(out):
        count = os.preadv(descriptor, [out[done:]], start + done)
        if not count:
            raise ended_early(key, None, start, len(out))
        done += count
