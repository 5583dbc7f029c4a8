"""Sources of bytes: an open file, a buffer, a part of another source, and small reads made cheap."""

from __future__ import annotations

import os
from typing import Protocol, runtime_checkable

from holdfast.errors import FailedError
from holdfast.vault.regions.model import Source

__all__ = ["FileSource", "BytesSource", "Slice", "BlockReader", "ReadsInto", "read_into"]


@runtime_checkable
class ReadsInto(Protocol):
    """A source that can read into memory that is there already: fresh memory costs more than the reading."""

    def read_into(self, offset: int, out: memoryview) -> int:
        """Fill `out` from `offset` on; returns how many bytes there were, fewer only at the end of the file."""
        ...


def read_into(source: Source, offset: int, out: memoryview) -> int:
    """`ReadsInto.read_into` of any source."""
    if isinstance(source, ReadsInto):
        return source.read_into(offset, out)
    data = source.read_at(offset, len(out))
    out[: len(data)] = data
    return len(data)


class FileSource:
    """An open regular file. Its size is fixed when the source is made: bytes appended later are not seen.

    Reads do not move the file's position, so several threads may read at once. The caller closes `fd`.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer at the end of the file, or where it was cut meanwhile.

        Raises FailedError when the operating system cannot read.
        """
        offset, length = _clip(offset, length, self._size)
        parts: list[bytes] = []
        while length:  # one read gives at most 2 GiB, and fewer when a signal arrives
            try:
                part = os.pread(self._fd, length, offset)
            except OSError as error:
                raise FailedError(f"cannot read the file at byte {offset}: {error.strerror}") from error
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, out: memoryview) -> int:
        """See `ReadsInto`. Raises FailedError when the operating system cannot read."""
        offset, length = _clip(offset, len(out), self._size)
        done = 0
        while done < length:
            try:
                count = os.preadv(self._fd, [out[done:length]], offset + done)
            except OSError as error:
                raise FailedError(f"cannot read the file at byte {offset + done}: {error.strerror}") from error
            if not count:
                break
            done += count
        return done


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer at the end."""
        offset, length = _clip(offset, length, self.size)
        return bytes(self._data[offset : offset + length])


class Slice:
    """`length` bytes of another source, from `start` on."""

    def __init__(self, source: Source, start: int, length: int) -> None:
        self._source = source
        self._start, self._size = _clip(start, length, source.size)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` inside the slice; fewer at its end."""
        offset, length = _clip(offset, length, self._size)
        return self._source.read_at(self._start + offset, length)


class BlockReader:
    """Remembers the last block read, so that walking over small neighbouring records costs few reads."""

    def __init__(self, source: Source, block_bytes: int = 16 << 10) -> None:
        self._source = source
        self._block_bytes = block_bytes
        self._start = 0
        self._block = b""

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer at the end of the source. Meant for lengths far below a block."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._block):
            self._start, begin = offset, 0
            self._block = self._source.read_at(offset, max(length, self._block_bytes))
        return self._block[begin : begin + length]


def _clip(offset: int, length: int, size: int) -> tuple[int, int]:
    offset = min(max(offset, 0), size)
    return offset, min(max(length, 0), size - offset)
