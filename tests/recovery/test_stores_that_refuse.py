"""Full stores, read-only stores, and addresses where no vault is."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import (
    FailedError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    StorageFullError,
)
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.testing.damage import contents_of
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import (
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import new_trial_vault

from .places import as_somebody_else, small_file_system
from .sample_vault import ASSET, train, write_state


@pytest.mark.parametrize("room", [0, 3_000, 20_000, 45_000, 58_000])
def test_a_store_that_fills_up(source: Path, tmp_path: Path, room: int) -> None:
    write_state(source, seed=1)
    trial = new_trial_vault(MemoryStore(), pack_bytes=24 << 10)
    first = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    (source / "rng_state.bin").write_bytes(Random(5).randbytes(50_000))
    full = FaultyStore(trial.store, Faults().fill_up_after(room))
    with pytest.raises(StorageFullError) as caught:
        trial.open(store=full).save(ASSET, source)
    assert caught.value.hint
    vault = trial.open()
    every_snapshot_restores(vault, first, tmp_path / "out")
    pointers_resolve(vault, ASSET)
    check_is_clean(vault)
    next_save_works(vault, ASSET, source, tmp_path / "out")


def test_a_disk_that_fills_up(source: Path, tmp_path: Path) -> None:
    write_state(source, seed=1)
    with small_file_system(tmp_path / "small", 1) as small:
        trial = new_trial_vault(LocalStore(small / "vault"), pack_bytes=64 << 10)
        saved = {}
        with pytest.raises(StorageFullError):
            for step in range(1, 200):
                train(source, seed=step)
                saved[trial.open().save(ASSET, source, step=step).root.id] = read_tree(source)
        assert len(saved) >= 2
        vault = trial.open()
        names_are_tidy(vault.handle.store)
        check_is_clean(vault)
        every_snapshot_restores(vault, saved, tmp_path / "out")
        pointers_resolve(vault, ASSET)


def test_a_store_that_is_only_read(source: Path, tmp_path: Path) -> None:
    write_state(source, seed=1)
    trial = new_trial_vault(MemoryStore())
    saved = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    before = contents_of(trial.store)
    vault = trial.open(store=ReadOnlyStore(trial.store))
    every_snapshot_restores(vault, saved, tmp_path / "out")
    check_is_clean(vault)
    for change in (
        lambda: vault.save(ASSET, source),
        lambda: vault.tag(ASSET, "mine"),
        lambda: vault.save("other", {"a": 1}),
    ):
        with pytest.raises(RefusedError) as caught:
            change()
        assert caught.value.exit_code == 5 and caught.value.hint
    assert contents_of(trial.store) == before


def test_a_folder_without_the_right_to_write(source: Path, tmp_path: Path) -> None:
    write_state(source, seed=1)
    with as_somebody_else() as place:
        trial = new_trial_vault(LocalStore(place / "vault"))
        saved = {trial.open().save(ASSET, {"a": 1.5}).root.id}
        folders = [path for path in (place / "vault").rglob("*") if path.is_dir()]
        for folder in (place / "vault", *folders):
            folder.chmod(0o500)
        vault = trial.open()
        assert {one.root.id for one in vault.snapshots() if one.root} == saved
        assert float(vault.load(ASSET)["a"][...]) == 1.5
        with pytest.raises(PermissionDeniedError) as caught:
            vault.save(ASSET, {"a": 2.5})
        assert caught.value.exit_code == 7 and caught.value.hint
        (place / "vault").chmod(0)
        with pytest.raises(PermissionDeniedError):
            trial.open()
        for folder in (place / "vault", *folders):
            folder.chmod(0o700)


@pytest.mark.parametrize(
    "what", ["nothing", "empty folder", "other folder", "file", "dangling link", "link to a vault"]
)
def test_where_no_vault_is(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    if what == "file":
        place.write_bytes(b"not a vault")
    elif what == "dangling link":
        place.symlink_to("nowhere")
    elif what == "link to a vault":
        made = create(str(tmp_path / "real"), environment=environment).vault.id
        place.symlink_to("real")
        assert open_at(str(place), environment=environment).id == made
        return
    elif what != "nothing":
        place.mkdir()
        if what == "other folder":
            (place / "config").mkdir()
            (place / "config" / "settings.toml").write_text("a = 1")
            (place / "model.safetensors").write_bytes(bytes(100))
    with pytest.raises(NotFoundError) as caught:
        open_at(str(place), environment=environment)
    assert str(place) in caught.value.message and "create" in caught.value.hint
    if what == "file":
        with pytest.raises(FailedError):
            create(str(place), environment=environment)
        assert place.read_bytes() == b"not a vault"


def test_a_vault_in_a_folder_that_holds_other_things(tmp_path: Path) -> None:
    """They are left alone, and `check` tells of them."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "README").write_text("mine")
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    vault = create(str(tmp_path / "place"), environment=environment).vault
    vault.save(ASSET, {"a": 1})
    report = vault.check(read_data=True)
    assert not report.damages and any("README" in note for note in report.notes)
    assert (tmp_path / "place" / "README").read_text() == "mine"


def test_strays_inside_a_vault_do_not_stop_it(source: Path, tmp_path: Path) -> None:
    """What a reader does not know it ignores: a copy that an editor or a synchronizer left beside each object."""
    write_state(source, seed=1)
    trial = new_trial_vault(MemoryStore())
    trial.open().save(ASSET, source, tags=["kept"])
    for key, data in contents_of(trial.store).items():
        trial.store.put(f"{key}.bak", data)
    vault = trial.open()
    assert set(vault.tags(ASSET)) == {"latest", "validated", "kept"}
    train(source, seed=1)
    next_save_works(vault, ASSET, source, tmp_path / "out")
    try:
        report = trial.open().check(read_data=True)
    except HoldfastError as error:
        raise AssertionError("check stopped at a stray") from error
    assert all(damage.object.endswith(".bak") for damage in report.damages)
