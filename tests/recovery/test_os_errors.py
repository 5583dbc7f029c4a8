"""Full disks, read-only mounts, missing rights and bytes that cannot be read: of save, restore, replicate and drop.

Each time: an error of ours that says where and what to do, with its exit code; nothing half-written can be seen; older
snapshots restore; and the same call succeeds as soon as the cause is gone.

Full and read-only are real: a small tmpfs, filled up, remounted. Where nobody may mount one, the kernel's limit on the
size of files (RLIMIT_FSIZE) and folders without the right to write stand for them. EIO is injected into the system
calls of this process (`os.preadv` and its like), as no broken disk is at hand: the code above them runs as it is.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, StorageFullError
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import (
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    read_tree,
    trees_are_equal,
)

from .os_scenes import all_is_well, copy, fill, nothing_beside, only_read, refused, save_works, scene
from .places import as_somebody_else, small_file_system
from .sample_vault import ASSET

# A full disk.


@pytest.mark.parametrize("leave", [0, 4 << 10, 16 << 10, 32 << 10])
def test_a_full_disk_and_a_save(source: Path, tmp_path: Path, leave: int) -> None:
    with small_file_system(tmp_path / "small", 2) as small:
        found = scene(source, small)
        (source / "rng_state.bin").write_bytes(Random(7).randbytes(200_000))
        ballast = fill(small, leave=leave)
        error = refused(lambda: found.trial.open().save(ASSET, source), StorageFullError, names=str(small / "vault"))
        assert error.exit_code == 1 and error.hint
        all_is_well(found, tmp_path / "out")
        ballast.unlink()
        save_works(found, tmp_path / "out")


def test_a_full_disk_and_a_restore(source: Path, tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 1) as small:
        found = scene(source, tmp_path)
        ballast = fill(small, leave=12 << 10)
        error = refused(
            lambda: found.trial.open().restore(found.newest, small / "target"), StorageFullError, names=str(small)
        )
        assert error.exit_code == 1 and error.hint
        nothing_beside(small, "ballast")
        ballast.unlink()
        restored = found.trial.open().restore(found.newest, small / "target").target
        trees_are_equal(read_tree(restored), found.expected[found.newest], "after room was made")


def test_a_disk_that_fills_up_while_a_restore_writes(source: Path, tmp_path: Path) -> None:
    """The room that there was at the beginning goes to somebody else; what was written then is not written again."""
    with small_file_system(tmp_path / "small", 1) as small:
        found = scene(source, tmp_path)

        class Greedy:
            ballast: Path | None = None

            def phase(self, name: str, total_bytes: int | None) -> None:
                return

            def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
                if done_bytes and self.ballast is None:
                    self.ballast = fill(small, leave=0)

            def note(self, message: str) -> None:
                return

        greedy = Greedy()
        vault = found.trial.open(progress=greedy)
        refused(lambda: vault.restore(found.newest, small / "target"), StorageFullError, names=str(small / "target"))
        assert greedy.ballast is not None
        nothing_beside(small, "ballast")
        greedy.ballast.unlink()
        done = found.trial.open().restore(found.newest, small / "target")
        trees_are_equal(read_tree(done.target), found.expected[found.newest], "after room was made")


@pytest.mark.parametrize("leave", [0, 8 << 10, 40 << 10])
def test_a_full_disk_and_a_replica(source: Path, tmp_path: Path, leave: int) -> None:
    with small_file_system(tmp_path / "small", 2) as small:
        found = scene(source, tmp_path)
        ballast = fill(small, leave=leave)
        target = LocalStore(small / "replica")
        refused(lambda: copy(found, target), StorageFullError, names=str(small / "replica"))
        names_are_tidy(target)
        ballast.unlink()
        copy(found, target)
        every_snapshot_restores(found.trial.open(store=target), found.expected, tmp_path / "out")
        check_is_clean(found.trial.open(store=target))


def test_a_full_disk_and_a_drop(source: Path, tmp_path: Path) -> None:
    """Dropping the newest moves pointers first: where that fails, nothing is dropped."""
    with small_file_system(tmp_path / "small", 2) as small:
        found = scene(source, small)
        older = next(iter(found.expected))
        ballast = fill(small, leave=0)
        vault = found.trial.open()
        try:
            vault.apply_drop(vault.plan_drop(older))
        except HoldfastError as error:
            assert isinstance(error, StorageFullError) and error.hint
            all_is_well(found, tmp_path / "out")
            ballast.unlink()
            vault = found.trial.open()
            vault.apply_drop(vault.plan_drop(older))
        del found.expected[older]
        ballast.unlink(missing_ok=True)
        save_works(found, tmp_path / "out")


# A limit on the size of files: a full disk where nobody may mount one. The kernel says EFBIG.


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_files_that_may_not_grow(source: Path, tmp_path: Path) -> None:
    found = scene(source, tmp_path)
    (source / "rng_state.bin").write_bytes(Random(8).randbytes(60_000))
    with files_of_at_most(20 << 10):
        refused(lambda: found.trial.open().save(ASSET, source), FailedError, names="packs/")
        names_are_tidy(found.trial.store)
        vault = found.trial.open()
        refused(lambda: vault.restore(found.newest, tmp_path / "new"), FailedError, names=str(tmp_path / "new"))
        assert not (tmp_path / "new").exists()
    found.trial.open().restore(found.newest, tmp_path / "new")
    trees_are_equal(read_tree(tmp_path / "new"), found.expected[found.newest], "without the limit")
    all_is_well(found, tmp_path / "out")
    save_works(found, tmp_path / "out")


# A file system that was mounted to be read.


def test_a_file_system_that_is_only_read(source: Path, tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 2) as small:
        found = scene(source, small)
        other = LocalStore(small / "replica")
        older = next(iter(found.expected))
        with only_read(small):
            vault = found.trial.open()
            every_snapshot_restores(vault, found.expected, tmp_path / "out")
            denied = {
                "save": (lambda: vault.save(ASSET, source), str(small / "vault")),
                "restore": (lambda: vault.restore(ASSET, small / "new" / "target"), str(small / "new")),
                "replicate": (lambda: copy(found, other), str(small / "replica")),
                "tag": (lambda: vault.tag(ASSET, "mine"), str(small / "vault")),
                "drop": (lambda: vault.apply_drop(vault.plan_drop(older)), str(small / "vault")),
            }
            for call, place in denied.values():
                error = refused(call, PermissionDeniedError, names=place)
                assert error.exit_code == 7
            nothing_beside(small, "vault")
        all_is_well(found, tmp_path / "out")
        save_works(found, tmp_path / "out")
        found.trial.open().restore(found.newest, small / "new" / "target")
        copy(found, other)


# Rights.


def test_rights_that_are_missing(source: Path, tmp_path: Path) -> None:
    with as_somebody_else() as place:
        inner = place / "source"
        inner.mkdir()
        found = scene(inner, place)
        older = next(iter(found.expected))
        closed = place / "closed"
        closed.mkdir(mode=0o500)
        vault_folders = [path for path in (place / "vault", *(place / "vault").rglob("*")) if path.is_dir()]
        for folder in vault_folders:
            folder.chmod(0o500)
        vault = found.trial.open()
        for call, where in (
            (lambda: vault.save(ASSET, inner), str(place / "vault")),
            (lambda: vault.restore(ASSET, closed / "target"), str(closed)),
            (lambda: copy(found, LocalStore(closed / "replica")), str(closed)),
            (lambda: vault.apply_drop(vault.plan_drop(older)), str(place / "vault")),
        ):
            assert refused(call, PermissionDeniedError, names=where).exit_code == 7
        assert list(closed.iterdir()) == []
        for folder in vault_folders:
            folder.chmod(0o700)
        closed.chmod(0o700)
        unreadable = inner / "rng_state.bin"
        unreadable.chmod(0)
        error = refused(lambda: found.trial.open().save(ASSET, inner), HoldfastError, names="rng_state.bin")
        assert error.exit_code == 7
        unreadable.chmod(0o600)
        all_is_well(found, place / "out")
        save_works(found, place / "out")
        found.trial.open().restore(found.newest, closed / "target")
        copy(found, LocalStore(closed / "replica"))
