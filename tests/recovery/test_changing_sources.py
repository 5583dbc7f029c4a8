"""A source that changes while it is saved: nothing is committed, and the error says which file it was."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.errors import SourceChangedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean, next_save_works
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault

MIB = 1 << 20


class Meddler(NoteTaker):
    """Does something to the source at the moment when so many bytes have been coded."""

    def __init__(self, after_bytes: int, deed: Callable[[], object]) -> None:
        super().__init__()
        self._left = after_bytes
        self._deed = deed
        self.done = False

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        self._left -= done_bytes
        if self._left <= 0 and not self.done:
            self.done = True
            self._deed()


@pytest.fixture
def trial(source: Path) -> TrialVault:
    """One good snapshot of `asset` is there before anything goes wrong."""
    (source / "early").write_bytes(random.randbytes(16 * MIB))  # more than is read ahead
    (source / "late").write_bytes(random.randbytes(MIB))
    (source / "sub").mkdir()
    (source / "sub" / "link").symlink_to("../early")
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    trial.open().save("asset", source, verify=False)
    for name in ("early", "late"):
        overwrite_in_place(source / name)
    return trial


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.randbytes(1000))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path: Path) -> None:
    """Another file of the same size and time under the same name."""
    before = path.stat()
    other = path.with_name("replacement")
    other.write_bytes(random.randbytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def retarget(path: Path) -> None:
    path.unlink()
    path.symlink_to("../late")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the file being read grows": ("early", grow),
    "the file being read is cut": ("early", lambda path: os.truncate(path, 3 * MIB)),
    "the file being read is emptied": ("early", lambda path: os.truncate(path, 0)),
    "the file being read is replaced": ("early", replace),
    "the file being read is deleted": ("early", Path.unlink),
    "the file being read is overwritten": ("early", overwrite_in_place),
    "a file not read yet grows": ("late", grow),
    "a file not read yet is replaced": ("late", replace),
    "a file not read yet is deleted": ("late", Path.unlink),
    "a file not read yet becomes a folder": ("late", to_folder),
    "a link is retargeted": ("sub/link", retarget),
    "a link vanishes": ("sub/link", Path.unlink),
    "a file appears": ("sub/new", Path.touch),
    "a folder appears": ("new", Path.mkdir),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_saving_commits_nothing(trial: TrialVault, source: Path, change: str) -> None:
    name, deed = CHANGES[change]
    before = contents_of(trial.store)
    meddler = Meddler(2 * MIB, lambda: deed(source / name))
    with pytest.raises(SourceChangedError) as caught:
        trial.open(progress=meddler).save("asset", source)
    assert meddler.done
    assert Path(name).name in caught.value.message
    assert caught.value.retry and caught.value.hint
    after = contents_of(trial.store)
    grown = {key.split("/")[0] for key in after.keys() - before.keys()}
    assert grown <= {"packs", "index"}, "only data that nothing refers to may have been added"
    assert {key: after[key] for key in before} == before
    assert [trial.open().find("asset")] == [listed.root for listed in trial.open().snapshots()]


def test_a_change_behind_the_last_read_is_noticed(trial: TrialVault, source: Path) -> None:
    """All bytes are read and coded, and only then the first file changes: the snapshot would be of no moment."""
    meddler = Meddler(17 * MIB, lambda: grow(source / "early"))
    with pytest.raises(SourceChangedError, match="early"):
        trial.open(progress=meddler).save("asset", source)
    assert meddler.done and len(trial.open().snapshots()) == 1


def test_after_a_changed_source_the_next_save_works(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    vault = trial.open(progress=Meddler(2 * MIB, lambda: grow(source / "early")))
    with pytest.raises(SourceChangedError):
        vault.save("asset", source)
    next_save_works(trial.open(), "asset", source, tmp_path / "out")
    check_is_clean(trial.open())


def test_a_log_that_grows_all_the_time(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """A real writer beside the save: each attempt either fails as a changed source, or holds one moment's bytes."""
    stop = threading.Event()

    def write() -> None:
        with (source / "log").open("ab", buffering=0) as file:
            while not stop.wait(0.001):
                file.write(b"one line\n")

    writer = threading.Thread(target=write)
    writer.start()
    saved, noticed = [], 0
    try:
        for _ in range(5):
            try:
                saved.append(trial.open().save("asset", source).root.id)
            except SourceChangedError as error:
                assert "log" in error.message
                noticed += 1
    finally:
        stop.set()
        writer.join()
    assert noticed, "a file was written every millisecond, and none of five saves noticed"
    lines = (source / "log").read_bytes()
    for number, snapshot in enumerate(saved):
        part = trial.open().restore(snapshot, tmp_path / f"{number}").target / "log"
        assert lines.startswith(part.read_bytes()) and part.stat().st_size % len(b"one line\n") == 0
    next_save_works(trial.open(), "asset", source, tmp_path / "out")
