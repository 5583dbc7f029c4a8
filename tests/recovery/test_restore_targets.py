"""A restore that is interrupted, refused, or runs out of room: its target is whole or not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from holdfast.errors import DamageError, PermissionDeniedError, RefusedError, StorageFullError, StoreUnreachableError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import Flip, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import read_tree, trees_are_equal
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory

from .places import as_somebody_else, small_file_system
from .sample_vault import Sample, build_sample

MIB = 1 << 20


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    work = tmp_path_factory.mktemp("sample")
    with own_memory(work / "state"):
        return build_sample(work, encrypted=True)


@pytest.fixture
def large(source: Path) -> TrialVault:
    """One snapshot of 36 MiB in 18 files, in small packs: three batches to fetch."""
    for number in range(18):
        (source / f"part{number}").write_bytes(Random(number).randbytes(2 * MIB))
        (source / f"part{number}").chmod(0o444)
    (source / "below").mkdir()
    (source / "below" / "file").write_bytes(b"x" * 1000)
    (source / "below").chmod(0o500)
    trial = new_trial_vault(MemoryStore(), pack_bytes=MIB)
    trial.open().save("asset", source)
    return trial


def test_an_interrupted_restore_goes_on_where_it_was(large: TrialVault, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    vault = large.open()
    vault.handle.workers = 1
    cut = FaultyStore(large.store, Faults().fail("get_ranges", matching="packs/*", at=range(27, 999)))
    vault.handle.store = cut
    with pytest.raises(StoreUnreachableError):
        vault.restore("asset", target)
    assert not target.exists()
    whole = FaultyStore(large.store, Faults())
    result = large.open(store=whole).restore("asset", target)
    assert result.resumed_bytes >= 14 * MIB
    assert whole.bytes_moved("get_ranges") <= 37 * MIB - result.resumed_bytes, "what was there was fetched again"
    trees_are_equal(read_tree(target), read_tree(source), "the restored folder")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_restore_that_was_killed_at_each_moment(large: TrialVault, source: Path, tmp_path: Path) -> None:
    crashes = 0
    for number in range(1, 90, 4):
        target = tmp_path / "out"
        try:
            large.open(store=FaultyStore(large.store, Faults().stop_after(number))).restore("asset", target)
        except Crash:
            crashes += 1
            if target.exists():  # all of it was there: only the note of the restore was cut off
                trees_are_equal(read_tree(target), read_tree(source), f"at the crash at operation {number}")
                shutil.rmtree(target)
        else:
            break
        large.open().restore("asset", target)
        trees_are_equal(read_tree(target), read_tree(source), f"after a crash at operation {number}")
        shutil.rmtree(target)
    else:
        raise AssertionError("the restore never ended")
    assert crashes >= 9


def test_what_was_tampered_with_in_the_staging_place_is_fetched_again(
    large: TrialVault, source: Path, tmp_path: Path
) -> None:
    target, root = tmp_path / "out", large.open().find("asset")
    staged = target.with_name(f".out.holdfast-{root.id}.partial")
    shutil.copytree(source, staged)
    (staged / "part3").chmod(0o600)
    with (staged / "part3").open("r+b") as file:
        file.write(b"tampered")
    (staged / "part4").chmod(0o600)
    os.truncate(staged / "part4", 5)
    result = large.open().restore("asset", target)
    assert 30 * MIB <= result.resumed_bytes < 36 * MIB
    trees_are_equal(read_tree(target), read_tree(source), "the restored folder")


def test_going_on_after_modes_were_set_needs_no_privilege(large: TrialVault, source: Path) -> None:
    """Read-only files and folders in the staging place: the restore was cut between setting modes and its end."""
    root, expected = large.open().find("asset"), read_tree(source)
    with as_somebody_else() as place:
        target = place / "out"
        staged = target.with_name(f".out.holdfast-{root.id}.partial")
        first = large.open().restore("asset", staged).target
        first.chmod(0o500)
        large.open().restore("asset", target)
        trees_are_equal(read_tree(target), expected, "the restored folder")


def test_holes_that_somebody_filled_are_holes_again(source: Path, tmp_path: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.truncate(4 * MIB)
        file.write(b"start" * 1000)
    trial = new_trial_vault(MemoryStore())
    root = trial.open().save("asset", source).root
    assert root.stats["hole"] > 0
    staged = tmp_path / f".out.holdfast-{root.id}.partial"
    shutil.copytree(source, staged)
    with (staged / "sparse").open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"garbage")
    trial.open().restore("asset", tmp_path / "out")
    trees_are_equal(read_tree(tmp_path / "out"), read_tree(source), "the restored folder")


def test_no_room_at_the_target(large: TrialVault, source: Path, tmp_path: Path) -> None:
    """Known beforehand, and found out on the way because somebody else took the room."""
    with small_file_system(tmp_path / "small", 8) as small:
        with pytest.raises(StorageFullError) as caught:
            large.open().restore("asset", small / "out")
        assert list(small.iterdir()) == [] and caught.value.hint
        (small / f".out.holdfast-{large.open().find('asset').id}.partial").mkdir()  # a resumed one is not refused
        with pytest.raises(StorageFullError):
            large.open().restore("asset", small / "out")
        assert not (small / "out").exists()
    large.open().restore("asset", tmp_path / "elsewhere")
    trees_are_equal(read_tree(tmp_path / "elsewhere"), read_tree(source), "the restored folder")


def test_a_target_that_may_not_be_written(large: TrialVault) -> None:
    with as_somebody_else() as place:
        place.chmod(0o500)
        with pytest.raises(PermissionDeniedError):
            large.open().restore("asset", place / "out")
        with pytest.raises(PermissionDeniedError):
            large.open().restore("asset", place / "deep" / "out")
        place.chmod(0o700)
        assert list(place.iterdir()) == []


@pytest.mark.parametrize("stands_there", ["file", "folder", "link", "dangling link", "empty folder"])
def test_what_stands_at_the_target(sample: Sample, tmp_path: Path, stands_there: str) -> None:
    """It is kept unless replacing it was asked for; then it is replaced whole."""
    snapshot, expected = next(iter(sample.expected.items()))
    target = tmp_path / "out"
    if stands_there == "file":
        target.write_bytes(b"precious")
    elif "link" in stands_there:
        (tmp_path / "linked").mkdir()
        target.symlink_to("linked" if stands_there == "link" else "nowhere")
    else:
        target.mkdir()
        if stands_there == "folder":
            (target / "precious").write_bytes(b"p")
    before = read_tree(target)
    if stands_there != "empty folder":
        with pytest.raises(RefusedError) as caught:
            sample.trial.open().restore(snapshot, target)
        assert caught.value.hint and caught.value.exit_code == 5
        assert read_tree(target) == before
    sample.trial.open().restore(snapshot, target, overwrite=True)
    trees_are_equal(read_tree(target), expected, snapshot)
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "linked", "state"}, "something was left behind"


def test_a_failed_overwrite_keeps_what_was_there(sample: Sample, tmp_path: Path) -> None:
    snapshot = next(iter(sample.expected))
    target = tmp_path / "out"
    target.mkdir()
    (target / "precious").write_bytes(b"p")
    for key in sample.keys("packs/"):
        Flip(key, 5000).apply(sample.trial.store)
    try:
        with pytest.raises(DamageError):
            sample.trial.open().restore(snapshot, target, overwrite=True)
    finally:
        put_back(sample.trial.store, sample.contents)
    assert (target / "precious").read_bytes() == b"p"
    assert len(list(target.iterdir())) == 1
