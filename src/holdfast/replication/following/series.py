"""Exposure as a series: one line for each asset and site and round, appended to a file of this machine.

Lines are JSON. A file that cannot be written costs the series a line, and says so; a line that was broken off is
passed over when it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from holdfast.durable import replace_file
from holdfast.replication.following.exposing import Exposure, Protection

__all__ = ["ExposureSeries", "Sample", "KEEP_BYTES"]

KEEP_BYTES = 16 << 20  # of the newest lines; what is older goes when twice as much is there


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """`at`: ns since the epoch. `seconds`, `behind`: as in `Exposure`; absent where nothing was measured."""

    at: int
    asset: str
    site: str
    protection: str
    seconds: float | None = None
    arrived: float | None = None
    snapshot: str = ""
    behind: float | None = None


class ExposureSeries:
    """The series in one file. Several processes may append: each line is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, found: Iterable[Exposure]) -> None:
        """Raises OSError."""
        lines = b"".join(msgspec.json.encode(_sample(one)) + b"\n" for one in found)
        if not lines:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, lines)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size > 2 * KEEP_BYTES:
            self._shorten(size)

    def read(self, asset: str | None = None, site: str | None = None, since_ns: int = 0) -> Iterator[Sample]:
        """In the order of writing. Nothing where there is no file."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    sample = _read(line)
                    if (
                        sample is not None
                        and asset in (None, sample.asset)
                        and site in (None, sample.site)
                        and sample.at >= since_ns
                    ):
                        yield sample
        except FileNotFoundError:
            return

    def _shorten(self, size: int) -> None:
        """Keep the newest lines. What another process appends in this moment may be lost: samples, not snapshots."""
        with self.path.open("rb") as file:
            file.seek(size - KEEP_BYTES)
            file.readline()
            newest = file.read()
        replace_file(self.path, newest, mode=0o600, synced=False)


def _sample(one: Exposure) -> Sample:
    return Sample(
        at=one.at_ns,
        asset=one.asset,
        site=one.site,
        protection=one.protection.value,
        seconds=one.seconds,
        arrived=one.arrived_seconds,
        snapshot=one.snapshot,
        behind=one.behind_seconds,
    )


def _read(line: bytes) -> Sample | None:
    try:
        sample = msgspec.json.decode(line, type=Sample)
        Protection(sample.protection)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return sample
