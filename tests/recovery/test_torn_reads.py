"""Writers that hide: a time that is set back, a mapped file whose pages are dirty already."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import SourceChangedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, new_trial_vault

MIB = 1 << 20
SIZE = 24 * MIB  # more than is read ahead


class Meddler(NoteTaker):
    """Does something to the source when the first bytes have been coded."""

    def __init__(self, deed: Callable[[], None]) -> None:
        super().__init__()
        self._deed: Callable[[], None] | None = deed

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        if done_bytes and self._deed is not None:
            deed, self._deed = self._deed, None
            deed()


def times_follow_mapped_stores(path: Path) -> bool:
    """Whether this file system dates a store through a mapping, once the page is clean (tmpfs does not)."""
    path.write_bytes(bytes(8192))
    os.utime(path, ns=(0, 0))
    mapped = np.memmap(path, dtype="u1", mode="r+")
    mapped[0] = 1
    return path.stat().st_mtime_ns != 0


def test_a_time_that_is_set_back(source: Path) -> None:
    path = source / "file"
    path.write_bytes(random.Random(1).randbytes(SIZE))

    def overwrite() -> None:
        before = path.stat()
        with path.open("r+b") as file:
            file.write(random.Random(2).randbytes(SIZE))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    trial = new_trial_vault(MemoryStore(), encrypted=False)
    with pytest.raises(SourceChangedError, match="file"):
        trial.open(progress=Meddler(overwrite)).save("run", source)
    assert trial.open().snapshots() == []


def test_a_mapped_file_that_is_written_meanwhile(source: Path, tmp_path: Path) -> None:
    if not times_follow_mapped_stores(tmp_path / "probe"):
        pytest.skip("this file system keeps no times of mapped stores")
    path = source / "file"
    path.write_bytes(bytes(SIZE))
    mapped = np.memmap(path, dtype="u1", mode="r+")
    mapped[:] = 65  # every page is dirty now: a further store alone leaves no trace

    def overwrite() -> None:
        mapped[:] = 66

    trial = new_trial_vault(MemoryStore(), encrypted=False)
    with pytest.raises(SourceChangedError, match="file"):
        trial.open(progress=Meddler(overwrite)).save("run", source)
    assert trial.open().snapshots() == []
    assert trial.open().save("run", source).validated, "a mapping alone is no change"
