"""An open file of a snapshot, as fsspec hands it out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped,unused-ignore]

from holdfast.vault.files.reading import PartialFile
from holdfast.vault.files.windows import Bytes

__all__ = ["SnapshotFile", "Reads", "LINE_BLOCK_BYTES"]

LINE_BLOCK_BYTES = 64 << 10  # what is read ahead for one line; it comes from the chunk that is decoded already


class Reads(Protocol):
    """What a file needs of its file system."""

    def read_span(self, file: PartialFile, start: int, length: int) -> bytes: ...

    def read_into(self, file: PartialFile, start: int, target: Bytes) -> None: ...


class SnapshotFile(AbstractBufferedFile):  # type: ignore[misc,unused-ignore]
    """Open for reading. It stays the file of the same snapshot, whatever `@latest` comes to mean."""

    def __init__(
        self,
        fs: Reads,
        file: PartialFile,
        path: str,
        pinned: str,
        block_size: int,
        cache_type: str = "none",
        cache_options: dict[str, Any] | None = None,
    ) -> None:
        """`pinned`: the path with the snapshot's id. `cache_type`: fsspec's; none, as `fs` keeps decoded chunks."""
        self._file, self._pinned = file, pinned
        super().__init__(fs, path, "rb", block_size, cache_type=cache_type, cache_options=cache_options, size=file.size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        reads: Reads = self.fs
        end = min(end, self._file.size)  # fsspec asks for what the caller of `read` asked for
        return reads.read_span(self._file, start, end - start)

    def __reduce__(self) -> Any:
        reopen, (fs, _, *rest) = super().__reduce__()
        return reopen, (fs, self._pinned, *rest)

    def readinto(self, buffer: Any) -> int:
        """Read into the caller's memory, straight from the decoded chunks unless a cache was asked for."""
        if self.closed or self.cache.name != "none":
            return int(super().readinto(buffer))
        view = memoryview(buffer).cast("B")
        length = max(0, min(view.nbytes, self._file.size - int(self.loc)))
        if length:
            reads: Reads = self.fs
            reads.read_into(self._file, int(self.loc), np.frombuffer(view[:length], np.uint8))
            self.loc += length
        return length
