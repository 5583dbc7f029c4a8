"""What the tests of the system's errors share: a vault on a folder, what must hold after a failure, places."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfast.cli.exit_codes import MEANINGS
from holdfast.errors import HoldfastError, StorageFullError
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import (
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault

from .sample_vault import ASSET, train, write_state

__all__ = ["Scene", "all_is_well", "copy", "fill", "nothing_beside", "only_read", "refused", "save_works", "scene"]

PACK_BYTES = 48 << 10


class Scene(NamedTuple):
    """A vault with two snapshots, on a folder; the older one is of `expected`'s first entry."""

    trial: TrialVault
    source: Path
    expected: dict[str, TreeState]

    @property
    def newest(self) -> str:
        return list(self.expected)[-1]


def scene(source: Path, folder: Path) -> Scene:
    trial = new_trial_vault(LocalStore(folder / "vault"), pack_bytes=PACK_BYTES)
    write_state(source, seed=1)
    expected = {}
    for step in (1, 2):
        train(source, seed=step)
        expected[trial.open().save(ASSET, source, step=step).root.id] = read_tree(source)
    train(source, seed=3)
    return Scene(trial, source, expected)


def refused(call: Callable[[], Any], kind: type[HoldfastError], *, names: str) -> HoldfastError:
    """The call fails as it should: this class, a sentence that names the place, a hint, an exit code."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert error.exit_code in MEANINGS
    assert names in error.message or names in error.object_name, (error.message, error.object_name)
    assert "Traceback" not in error.message and "Errno" not in error.message
    assert error.hint or kind is not StorageFullError
    return error


def all_is_well(found: Scene, scratch: Path) -> None:
    names_are_tidy(found.trial.store)
    vault = found.trial.open()
    pointers_resolve(vault, ASSET)
    every_snapshot_restores(vault, found.expected, scratch)
    assert {one.root.id for one in vault.snapshots() if one.root} >= set(found.expected)


def save_works(found: Scene, scratch: Path) -> None:
    root = found.trial.open().save(ASSET, found.source, step=3).root
    every_snapshot_restores(found.trial.open(), found.expected | {root.id: read_tree(found.source)}, scratch)
    check_is_clean(found.trial.open())


def nothing_beside(folder: Path, *names: str) -> None:
    """Nothing can be seen in the folder but these; what is hidden may be taken up again."""
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == set(names)


def fill(folder: Path, *, leave: int) -> Path:
    """Take up the room of a file system but `leave` bytes."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    with ballast.open("wb") as file:
        file.write(bytes(max(0, free - leave)))
    return ballast


def copy(found: Scene, target: LocalStore) -> None:
    vault = found.trial.open()
    replicate(vault.handle, target)


@contextmanager
def only_read(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True, capture_output=True)
