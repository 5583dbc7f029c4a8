"""Disks that fail (EIO), and how commands tell of full and read-only ones. See test_os_errors.py."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from holdfast.errors import FailedError, HoldfastError
from holdfast.testing.invariants import (
    read_tree,
    trees_are_equal,
)

from .os_scenes import all_is_well, fill, only_read, refused, save_works, scene
from .places import small_file_system
from .sample_vault import ASSET, write_state

# Bytes that a disk does not give back, or does not take.


def broken(call: Callable[..., Any], *, at: int) -> Callable[..., Any]:
    """The system call, which fails with EIO from the `at`-th time on."""
    seen = 0

    def fails(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen >= at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*arguments, **named)

    return fails


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("calls", [("write", "writev"), ("fsync",), ("link",)])
def test_a_disk_that_does_not_take_what_is_saved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...], at: int
) -> None:
    found = scene(source, tmp_path)
    with monkeypatch.context() as patch:
        for call in calls:
            patch.setattr(os, call, broken(getattr(os, call), at=at))
        error = refused(lambda: found.trial.open().save(ASSET, source), FailedError, names=str(tmp_path / "vault"))
        assert error.exit_code == 1 and "Input/output" in error.message
    all_is_well(found, tmp_path / "out")
    save_works(found, tmp_path / "out")


@pytest.mark.parametrize("call", ["pwrite", "fsync", "ftruncate"])
def test_a_disk_that_does_not_take_what_is_restored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    found = scene(source, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken(getattr(os, call), at=2))
        vault = found.trial.open()
        error = refused(lambda: vault.restore(ASSET, tmp_path / "new"), FailedError, names=str(tmp_path / "new"))
        assert error.exit_code == 1
    assert not (tmp_path / "new").exists()
    done = found.trial.open().restore(found.newest, tmp_path / "new")
    trees_are_equal(read_tree(done.target), found.expected[found.newest], "from a sound disk")


def test_a_disk_that_does_not_give_back_what_is_stored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scene(source, tmp_path)
    vault = found.trial.open()
    with monkeypatch.context() as patch:
        for call in ("pread", "preadv"):
            patch.setattr(os, call, broken(getattr(os, call), at=1))
        error = refused(lambda: vault.restore(ASSET, tmp_path / "new"), HoldfastError, names="packs/")
        assert error.exit_code in (1, 4)
    assert not (tmp_path / "new").exists()
    all_is_well(found, tmp_path / "out")


def test_a_source_that_cannot_be_read_to_its_end(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scene(source, tmp_path)
    with monkeypatch.context() as patch:
        for call in ("pread", "preadv"):
            patch.setattr(os, call, broken(getattr(os, call), at=2))
        with pytest.raises(HoldfastError) as caught:
            found.trial.open().save(ASSET, source)
        assert caught.value.exit_code in (1, 4) and caught.value.message
    all_is_well(found, tmp_path / "out")
    save_works(found, tmp_path / "out")


# The same, as a user sees it.


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    homes = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("STATE", "CACHE", "CONFIG")}
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli.main", *arguments],
        env=os.environ | homes,
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_on_a_full_and_a_read_only_disk(source: Path, tmp_path: Path) -> None:
    write_state(source, seed=1)
    with small_file_system(tmp_path / "small", 2) as small:
        place = str(small / "vault")
        assert command("vault", "create", place, home=tmp_path).returncode == 0
        assert (
            command("snapshot", "save", str(source), "--asset", ASSET, "--vault", place, home=tmp_path).returncode == 0
        )
        (source / "rng_state.bin").write_bytes(Random(9).randbytes(300_000))
        ballast = fill(small, leave=8 << 10)
        full = command("snapshot", "save", str(source), "--asset", ASSET, "--vault", place, "--json", home=tmp_path)
        assert full.returncode == 1, full.stderr
        told = json.loads(full.stdout.splitlines()[-1])["error"]
        assert told["code"] == "storage-full" and told["hint"] and told["exit_code"] == 1
        assert full.stderr.splitlines()[-1].startswith("hint: ") and "Traceback" not in full.stderr
        ballast.unlink()
        with only_read(small):
            denied = command("snapshot", "save", str(source), "--asset", ASSET, "--vault", place, home=tmp_path)
            assert denied.returncode == 7, denied.stderr
            assert "Read-only file system" in denied.stderr and "hint: " in denied.stderr
        assert (
            command("snapshot", "save", str(source), "--asset", ASSET, "--vault", place, home=tmp_path).returncode == 0
        )
