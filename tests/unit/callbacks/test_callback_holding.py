"""Second names for a checkpoint's files, and what becomes of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.training.callbacks.holding import FOLDER, hold, release, release_abandoned


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoint-5"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * 1000)
    (folder / "deep" / "state").write_bytes(b"s")
    return folder


def test_files_survive_what_deletes_the_checkpoint(checkpoint: Path) -> None:
    held = hold(checkpoint, checkpoint.parent)
    assert held is not None and held.name == "checkpoint-5"
    assert (held / "weights").stat().st_ino == (checkpoint / "weights").stat().st_ino, "bytes were copied"
    for file in (checkpoint / "weights", checkpoint / "deep" / "state"):
        file.unlink()
    assert (held / "weights").read_bytes() == b"w" * 1000
    assert (held / "deep" / "state").read_bytes() == b"s"
    release(held)
    assert not (checkpoint.parent / FOLDER).exists()


def test_two_are_held_at_once_and_released_one_by_one(checkpoint: Path) -> None:
    first, second = hold(checkpoint, checkpoint.parent), hold(checkpoint, checkpoint.parent)
    assert first is not None and second is not None and first != second
    release(first)
    assert (second / "weights").exists()
    release(second)
    assert not (checkpoint.parent / FOLDER).exists()


def test_what_is_released_vanishes_at_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saving process that looks while, or after, somebody dies in the midst of releasing must not find half of it."""
    held = hold(checkpoint, checkpoint.parent)
    assert held is not None
    looks: list[bool] = []
    unlink = os.unlink

    def looking(path: object, **options: object) -> None:
        looks.append(held.exists())
        unlink(path, **options)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(os, "unlink", looking)
    release(held)
    assert looks == [False, False]


def test_without_hard_links_nothing_is_held_and_nothing_left(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert hold(checkpoint, checkpoint.parent) is None
    assert list((checkpoint.parent / FOLDER).iterdir()) == []


def test_a_folder_that_vanishes_is_not_held(tmp_path: Path) -> None:
    assert hold(tmp_path / "checkpoint-9", tmp_path) is None


def test_what_dead_processes_held_is_freed_and_what_living_ones_hold_is_not(checkpoint: Path) -> None:
    beside = checkpoint.parent
    mine = hold(checkpoint, beside)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = beside / FOLDER / f"{socket.gethostname()}-{dead.pid}-0" / "checkpoint-4"
    elsewhere = beside / FOLDER / f"another-machine-{dead.pid}-0" / "checkpoint-4"
    recent = beside / FOLDER / f"{socket.gethostname()}-{dead.pid}-1" / "checkpoint-5"
    for folder in (left, elsewhere, recent):
        folder.mkdir(parents=True)
    for folder in (left, elsewhere):
        os.utime(folder.parent, (0, 0))
    release_abandoned(beside)
    assert not left.parent.exists()
    assert recent.exists(), "the saving process may still read it"
    assert elsewhere.exists(), "whether a process of another machine lives cannot be known here"
    assert mine is not None and mine.exists()
