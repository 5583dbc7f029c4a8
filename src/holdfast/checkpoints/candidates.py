"""What the watcher knows about one checkpoint: where it is, what it is made of, and whether it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

__all__ = ["FileStamp", "Marker", "Candidate", "digest_of_stamps"]


class FileStamp(NamedTuple):
    """One file: path relative to the checkpoint (POSIX), size in bytes, time of modification (ns since the epoch)."""

    path: str
    size: int
    mtime_ns: int


class Marker(NamedTuple):
    """The file that a framework writes last, as it is now.

    `name` is relative to the checkpoint (`../latest` for a tracker beside it). `vouches` is a digest of the data files
    that this marker stands for, where the framework replaces the marker with every save, and empty otherwise: the same
    marker over other data is an overwrite that has not finished.
    """

    name: str
    size: int
    mtime_ns: int
    vouches: str = ""


def digest_of_stamps(stamps: Iterable[FileStamp]) -> str:
    """32 hex digits over names, sizes and times, independent of the order in which the files were listed."""
    digest = hashlib.blake2b(digest_size=16)
    for stamp in sorted(stamps):
        digest.update(f"{stamp.path}\0{stamp.size}\0{stamp.mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


@dataclass(frozen=True)
class Candidate:
    """A checkpoint, or something that is about to become one.

    `reason` says in one phrase why it is not complete, and is empty when it is. `changed_ns` is the newest time at
    which anything in it changed by any account (content, name, attributes): unlike `mtime_ns` it cannot be carried over
    by `cp -p` or `rsync -t`. A candidate that is a single file has one entry in `files`, its own name.
    """

    path: Path
    step: int | None
    framework: str
    complete: bool
    reason: str
    files: tuple[FileStamp, ...]
    changed_ns: int = 0
    marker: Marker | None = None

    @property
    def name(self) -> str:
        """The last part of its path: `checkpoint-500`."""
        return self.path.name

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(stamp.size for stamp in self.files)

    @property
    def written_ns(self) -> int:
        """When its newest file was last modified (ns since the epoch), 0 when there is none."""
        return max((stamp.mtime_ns for stamp in self.files), default=0)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the names, sizes and times of all files."""
        return digest_of_stamps(self.files)
