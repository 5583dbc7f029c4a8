"""Where a restore grows and how it gets its name: strangers' places, mount points, rivals, and the last moment."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from holdfast.errors import HoldfastError, RefusedError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import read_tree, trees_are_equal
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.restoring import publishing, staging
from holdfast.vault.tensors.exporting import apply_export, plan_export

from .places import as_somebody_else, small_file_system
from .sample_vault import write_state


@pytest.fixture
def trial(source: Path) -> TrialVault:
    write_state(source, seed=1)
    (source / "closed").mkdir()
    (source / "closed" / "file").write_bytes(b"x" * 1000)
    (source / "closed" / "file").chmod(0o444)
    (source / "closed").chmod(0o555)
    trial = new_trial_vault(MemoryStore(), pack_bytes=1 << 20)
    trial.open().save("asset", source)
    return trial


@pytest.fixture
def staged(trial: TrialVault, tmp_path: Path) -> Path:
    """What an interrupted restore to `out` left."""
    return trial.open().restore("asset", tmp_path / f".out.holdfast-{trial.open().find('asset').id}.partial").target


def test_what_was_planted_in_the_staging_place(trial: TrialVault, source: Path, staged: Path, tmp_path: Path) -> None:
    """A link for a folder, a second name of a file, a link for a file, a pipe, and files that nobody saved."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_bytes(b"precious")
    (outside / "twin").write_bytes(b"precious too")
    (staged / "sub" / "config.json").unlink()
    (staged / "sub" / "empty").unlink()
    (staged / "sub").rmdir()
    (staged / "sub").symlink_to(outside)
    (staged / "weights.npy").unlink()
    os.link(outside / "twin", staged / "weights.npy")
    (staged / "optimizer.npy").unlink()
    (staged / "optimizer.npy").symlink_to(outside / "twin")
    (staged / "rng_state.bin").unlink()
    os.mkfifo(staged / "rng_state.bin")
    (staged / "planted.sh").write_bytes(b"evil")
    (staged / "closed").chmod(0o700)
    (staged / "closed" / "deep").mkdir()
    (staged / "closed" / "deep" / "planted").write_bytes(b"evil")
    before = read_tree(outside)
    trial.open().restore("asset", tmp_path / "out")
    trees_are_equal(read_tree(tmp_path / "out"), read_tree(source), "the restored folder")
    trees_are_equal(read_tree(outside), before, "what lies outside")


def test_a_staging_place_that_others_could_write(trial: TrialVault, source: Path, staged: Path, tmp_path: Path) -> None:
    """Somebody may still hold its files open: none of them is used."""
    staged.chmod(0o777)
    with (staged / "weights.npy").open("rb+") as held:
        assert trial.open().restore("asset", tmp_path / "out").resumed_bytes == 0
        held.write(b"evil")
    trees_are_equal(read_tree(tmp_path / "out"), read_tree(source), "the restored folder")


def test_a_staging_place_that_has_its_final_mode_already(trial: TrialVault, source: Path) -> None:
    """Read-only, with something missing in it."""
    source.chmod(0o555)
    root, expected = trial.open().save("asset", source).root, read_tree(source)
    vault = trial.open()
    with as_somebody_else() as place:
        staged = vault.restore("asset", place / f".out.holdfast-{root.id}.partial").target
        staged.chmod(0o755)
        (staged / "weights.npy").unlink()
        staged.chmod(0o555)
        assert vault.restore("asset", place / "out").resumed_bytes > 0
        trees_are_equal(read_tree(place / "out"), expected, "the restored folder")


@pytest.mark.parametrize("kind", ["a link", "a file", "somebody's folder"])
def test_a_staging_place_that_is_not_ours(trial: TrialVault, staged: Path, tmp_path: Path, kind: str) -> None:
    if kind == "somebody's folder":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(staged, 65534, 65534)
    else:
        staged.rename(tmp_path / "elsewhere")
        if kind == "a link":
            staged.symlink_to("elsewhere")
        else:
            staged.write_bytes(b"")
    before = read_tree(tmp_path)
    with pytest.raises(RefusedError, match="somebody else") as caught:
        trial.open().restore("asset", tmp_path / "out")
    assert caught.value.hint
    trees_are_equal(read_tree(tmp_path), before, "all there was")


@pytest.fixture
def rename_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The renames of a restore, in order."""
    calls: list[str] = []
    rename, swap = Path.rename, publishing.swap_names

    def counted(self: Path, place: Path) -> Path:
        calls.append("rename")
        return rename(self, place)

    def swapped(first: Path, second: Path) -> bool:
        calls.append("swap")
        return swap(first, second)

    monkeypatch.setattr(Path, "rename", counted)
    monkeypatch.setattr(staging, "swap_names", swapped)
    return calls


def test_the_target_is_never_missing_while_it_is_replaced(
    trial: TrialVault, source: Path, tmp_path: Path, rename_calls: list[str]
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    (target / "sealed").mkdir(mode=0o500)
    if not publishing.swap_names(tmp_path / "source", tmp_path / "source"):
        pytest.skip("this file system cannot exchange names")
    trial.open().restore("asset", target, overwrite=True)
    assert rename_calls == ["swap"]
    trees_are_equal(read_tree(target), read_tree(source), "the restored folder")
    assert sorted(path.name for path in tmp_path.iterdir() if ".partial" in path.name) == []


def test_without_an_exchange_two_renames_do_it(
    trial: TrialVault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system whose C library does not know the call."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: object())
    trial.open().restore("asset", target, overwrite=True)
    trees_are_equal(read_tree(target), read_tree(source), "the restored folder")
    assert sorted(path.name for path in tmp_path.iterdir() if ".partial" in path.name) == []


def test_everything_is_on_disk_before_it_has_its_name(
    trial: TrialVault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file and folder is synced in its final state, then the name appears, then the folders that hold it."""
    synced: list[tuple[int, bool]] = []
    states: dict[int, tuple[int, int, int]] = {}
    target = tmp_path / "new" / "deep" / "out"
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        found = os.fstat(descriptor)
        synced.append((found.st_ino, target.exists()))
        states[found.st_ino] = (found.st_mode, found.st_mtime_ns, found.st_size)

    monkeypatch.setattr(os, "fsync", noted)
    trial.open().restore("asset", target)
    monkeypatch.undo()
    for path in [target, *target.rglob("*")]:
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode):
            assert (found.st_ino, False) in synced, f"{path} was not synced before it could be seen"
            assert states[found.st_ino] == (found.st_mode, found.st_mtime_ns, found.st_size)
    for folder in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        assert (folder.stat().st_ino, True) in synced, f"the names in {folder} were not synced"


def test_a_mount_point_is_restored_into(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    with small_file_system(tmp_path / "mounted", 8) as mounted:
        trial.open().restore("asset", mounted)
        trees_are_equal(read_tree(mounted), read_tree(source), "the mount point")
        with pytest.raises(RefusedError):
            trial.open().restore("asset", mounted)
        with pytest.raises(RefusedError, match="cannot be replaced"):
            trial.open().restore("asset", mounted, overwrite=True)
        trees_are_equal(read_tree(mounted), read_tree(source), "the mount point")


def test_an_empty_folder_in_one_that_may_not_be_written(trial: TrialVault, source: Path) -> None:
    expected, vault = read_tree(source), trial.open()
    with as_somebody_else() as place:
        target = place / "closed" / "out"
        target.mkdir(parents=True)
        (place / "closed").chmod(0o555)
        vault.restore("asset", target)
        trees_are_equal(read_tree(target), expected, "the restored folder")
        (place / "closed").chmod(0o755)


def test_the_current_folder_stays_the_current_folder(
    trial: TrialVault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    trial.open().restore("asset", Path())
    trees_are_equal(read_tree(Path()), read_tree(source), "the current folder")


@pytest.mark.parametrize("moved", range(5))
def test_a_restore_that_was_cut_while_it_moved_into_a_folder_that_stays(
    trial: TrialVault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    move = publishing._move

    def cut(path: Path, place: Path) -> None:
        if len([name for name in os.listdir(here) if not name.startswith(".")]) >= moved:
            raise KeyboardInterrupt
        move(path, place)

    monkeypatch.setattr(publishing, "_move", cut)
    with pytest.raises(KeyboardInterrupt):
        trial.open().restore("asset", here)
    assert len(os.listdir(here)) == moved + 1
    monkeypatch.setattr(publishing, "_move", move)
    assert trial.open().restore("asset", here).resumed_bytes > 0
    trees_are_equal(read_tree(here), read_tree(source), "the restored folder")


def test_what_others_put_there_meanwhile_is_kept(
    trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / f".holdfast-{trial.open().find('asset').id}.moving").mkdir(mode=0o700)
    (here / "notes").write_bytes(b"mine")
    with pytest.raises(RefusedError, match="exists already"):
        trial.open().restore("asset", here)
    assert (here / "notes").read_bytes() == b"mine"


def test_one_file_over_an_empty_folder_is_refused_before_anything_is_fetched(
    trial: TrialVault, source: Path, tmp_path: Path
) -> None:
    trial.open().save("notes", source / "rng_state.bin")
    (tmp_path / "out" / "rng_state.bin").mkdir(parents=True)
    counted = FaultyStore(trial.store, Faults())
    with pytest.raises(RefusedError, match="exists already"):
        trial.open(store=counted).restore("notes", tmp_path / "out")
    assert counted.bytes_moved("get_ranges") == 0


class Gate(FaultyStore):
    """Reading packs waits at the gate."""

    def __init__(self, trial: TrialVault) -> None:
        super().__init__(trial.store, Faults())
        self.reached, self.open = threading.Event(), threading.Event()

    def get_ranges(self, key: str, ranges: object) -> list[bytes]:
        if key.startswith("packs/"):
            self.reached.set()
            assert self.open.wait(30)
        return super().get_ranges(key, ranges)  # type: ignore[arg-type]  # handed on as it came


def test_two_exports_to_one_target(trial: TrialVault, tmp_path: Path) -> None:
    """The second is told; the first writes its file as if it were alone."""
    target = tmp_path / "out.safetensors"
    gate = Gate(trial)
    slow, fast = trial.open(store=gate), trial.open()
    plan = plan_export(slow.handle, slow.find("asset"), "*", target)
    done = threading.Thread(target=lambda: apply_export(slow.handle, plan))
    done.start()
    try:
        assert gate.reached.wait(30)
        with pytest.raises(RefusedError, match="under way"):
            apply_export(fast.handle, plan_export(fast.handle, fast.find("asset"), "*", target))
    finally:
        gate.open.set()
        done.join(30)
    assert len(load_file(target)) == 2
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_failed_export_leaves_nothing(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    plan = plan_export(vault.handle, vault.find("asset"), "*", tmp_path / "out.safetensors")
    vault.handle.store = FaultyStore(trial.store, Faults().fail("get_ranges", matching="packs/*", at=range(99)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(HoldfastError):
        apply_export(vault.handle, plan)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711, 0o1755])
def test_setuid_and_setgid_are_dropped(source: Path, tmp_path: Path, mode: int) -> None:
    (source / "tool").write_bytes(b"#!")
    (source / "tool").chmod(mode)
    trial = new_trial_vault(MemoryStore())
    trial.open().save("asset", source)
    trial.open().restore("asset", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out" / "tool").stat().st_mode) == mode & 0o1777
