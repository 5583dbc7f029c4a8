"""Key files on disk: written once, durably, for their owner alone; read only if nobody else can."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import CredentialError, FailedError, PermissionDeniedError, RefusedError
from holdfast.trust.keyfile import SIZE_MAX, create_private_file, read_private_file


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may do everything; the tests of refusals need somebody who may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_file_and_new_folders_are_the_owners_alone(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "existing" / "new" / "newer" / "a.key"
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing").chmod(0o755)
    with umask(mask):
        create_private_file(path, b"secret")
    assert mode_of(path) == 0o600
    assert [mode_of(folder) for folder in path.parents[:3]] == [0o700, 0o700, 0o755]
    assert read_private_file(path) == b"secret"


def test_a_umask_does_not_lock_the_owner_out(tmp_path: Path) -> None:
    with umask(0o777):
        create_private_file(tmp_path / "a.key", b"secret")
    assert mode_of(tmp_path / "a.key") == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    create_private_file(path, b"first")
    with pytest.raises(RefusedError, match=r"a\.key exists") as caught:
        create_private_file(path, b"second")
    assert caught.value.hint
    assert path.read_bytes() == b"first"


def test_a_dangling_link_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError):
        create_private_file(tmp_path / "a.key", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_content_then_names_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def observe(descriptor: int) -> None:
        real(descriptor)
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else -1))

    monkeypatch.setattr(os, "fsync", observe)
    path = tmp_path / "new" / "a.key"
    create_private_file(path, b"secret")
    folders = [(place.stat().st_ino, -1) for place in (tmp_path, path.parent)]
    assert synced == [folders[0], (path.stat().st_ino, 6), folders[1]]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(FailedError, match=r"a\.key cannot be written: File too large"):
            create_private_file(path, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FailedError, match="cannot be written"):
        create_private_file(tmp_path / "file" / "a.key", b"secret")
    with pytest.raises(FailedError, match="cannot be written"):
        create_private_file(tmp_path / ("x" * 300), b"secret")
    with pytest.raises(FailedError, match="not valid"):
        create_private_file(tmp_path / "a\0b", b"secret")
    with without_privileges(), pytest.raises(PermissionDeniedError):
        create_private_file(Path("/a.key"), b"secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    with pytest.raises(PermissionDeniedError, match=f"mode {mode:o}") as caught:
        read_private_file(path)
    assert caught.value.hint.startswith(f"chmod 600 {path}")
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_link_to_a_private_file_is_followed(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "mounted"
    target.write_bytes(b"secret")
    target.chmod(mode)
    (tmp_path / "a.key").symlink_to(target)
    assert read_private_file(tmp_path / "a.key") == b"secret"


def test_what_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"there is no key file .*gone\.key"):
        read_private_file(tmp_path / "gone.key")
    with pytest.raises(CredentialError, match="not a regular file"):
        read_private_file(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(CredentialError, match="not a regular file"):
        read_private_file(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CredentialError, match="cannot be read"):
        read_private_file(tmp_path / "loop")
    with pytest.raises(CredentialError, match="not valid"):
        read_private_file(tmp_path / "a\0b")


def test_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    create_private_file(path, bytes(SIZE_MAX))
    assert len(read_private_file(path)) == SIZE_MAX
    create_private_file(tmp_path / "large", bytes(SIZE_MAX + 1))
    with pytest.raises(CredentialError, match="too large"):
        read_private_file(tmp_path / "large")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    create_private_file(path, b"secret")
    path.chmod(0)
    with without_privileges(), pytest.raises(PermissionDeniedError, match="cannot be read"):
        read_private_file(path)
