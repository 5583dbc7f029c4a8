"""Which checkpoint a run goes on from, and what reaches the vault whatever the framework deletes or the store does."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import holdfast
from holdfast.errors import DamageError, StoreUnreachableError, UsageError
from holdfast.training.callbacks.resuming import restore_newest
from holdfast.training.callbacks.shipping import Shipper
from holdfast.vault.vault import Vault


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return holdfast.create(tmp_path / "vault")


def checkpoint(folder: Path, step: int, *, complete: bool = True, nan: bool = False) -> Path:
    """A folder as the Trainer of transformers leaves it; its weights are of its step."""
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(step).standard_normal((64, 256), dtype=np.float32)
    if nan:
        weights[3, 4] = np.nan
    save_file({"weight": weights}, place / "model.safetensors")
    (place / "trainer_state.json").unlink(missing_ok=True)
    if complete:
        (place / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    return place


def weights_of(place: str | Path) -> np.ndarray:
    return load_file(Path(place) / "model.safetensors")["weight"]


def saved(vault: Vault, tmp_path: Path, *steps: int, nan: int = 0) -> None:
    for step in steps:
        vault.save("llm", checkpoint(tmp_path / "origin", step, nan=step == nan), step=step)


def packs_of(vault: Vault, before: set[Path]) -> list[Path]:
    return sorted(set((Path(vault.url) / "packs").rglob("*.pack")) - before) or sorted(
        path for path in set((Path(vault.url) / "packs").rglob("*")) - before if path.is_file()
    )


def named(step: int) -> str:
    return f"checkpoint-{step}"


def restored(vault: Vault, folder: Path) -> tuple[str | None, list[str]]:
    return restore_newest(vault, "llm", folder, named)


def damage_newest(vault: Vault, tmp_path: Path, *steps: int) -> None:
    """The last of these snapshots gets a flipped bit in what only it has."""
    saved(vault, tmp_path, *steps[:-1])
    before = {path for path in Path(vault.url).rglob("*") if path.is_file()}
    saved(vault, tmp_path, steps[-1])
    packs = [path for path in (Path(vault.url) / "packs").rglob("*") if path.is_file() and path not in before]
    assert packs
    for pack in packs:
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 4
        os.chmod(pack, 0o600)
        pack.write_bytes(data)


def test_an_empty_vault_means_beginning(vault: Vault, tmp_path: Path) -> None:
    assert restored(vault, tmp_path / "run") == (None, [])


def test_the_newest_snapshot_is_restored_under_its_step(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5, 10)
    found, told = restored(vault, tmp_path / "run")
    assert found == str(tmp_path / "run" / "checkpoint-10") and told == []
    assert np.array_equal(weights_of(found), weights_of(tmp_path / "origin" / "checkpoint-10"))


def test_a_damaged_newest_one_is_refused_and_the_one_before_taken(vault: Vault, tmp_path: Path) -> None:
    damage_newest(vault, tmp_path, 5, 10)
    found, told = restored(holdfast.open(vault.url), tmp_path / "run")
    assert found == str(tmp_path / "run" / "checkpoint-5")
    assert np.array_equal(weights_of(found), weights_of(tmp_path / "origin" / "checkpoint-5"))
    assert len(told) == 1 and "step 10" in told[0]
    assert not (tmp_path / "run" / "checkpoint-10").exists()


def test_when_none_reads_back_nothing_begins_by_mistake(vault: Vault, tmp_path: Path) -> None:
    damage_newest(vault, tmp_path, 5)
    with pytest.raises(DamageError, match="none of the 1 snapshots"):
        restored(holdfast.open(vault.url), tmp_path / "run")


def test_when_none_reads_back_an_older_checkpoint_that_lies_here_is_better_than_none(
    vault: Vault, tmp_path: Path
) -> None:
    here = checkpoint(tmp_path / "run", 3)
    time.sleep(0.02)
    damage_newest(vault, tmp_path, 5)
    found, told = restored(holdfast.open(vault.url), tmp_path / "run")
    assert found is not None and Path(found).resolve() == here.resolve()
    assert "none of the 1 snapshots" in told[0]


def test_findings_that_nobody_accepted_are_passed_over(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5, 10, nan=10)
    found, told = restored(vault, tmp_path / "run")
    assert found is not None and found.endswith("checkpoint-5")
    assert "findings" in told[0]
    vault.verify("llm@step=10", accept_findings=True)
    found, told = restored(vault, tmp_path / "run-2")
    assert found is not None and found.endswith("checkpoint-10") and told == []


def test_one_that_was_set_aside_is_passed_over(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5, 10)
    vault.quarantine("llm@step=10", "a bad batch")
    found, told = restored(vault, tmp_path / "run")
    assert found is not None and found.endswith("checkpoint-5")
    assert "a bad batch" in told[0]


def test_a_complete_checkpoint_that_lies_here_and_is_newer_counts(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5)
    time.sleep(0.02)
    here = checkpoint(tmp_path / "run", 7)
    found, _ = restored(vault, tmp_path / "run")
    assert found is not None and Path(found).resolve() == here.resolve()


def test_one_that_was_never_finished_does_not_count_and_is_replaced(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5)
    time.sleep(0.02)
    torn = checkpoint(tmp_path / "run", 5, complete=False)
    (torn / "model.safetensors").write_bytes(b"cut off")
    checkpoint(tmp_path / "run", 9, complete=False)
    found, _ = restored(vault, tmp_path / "run")
    assert found is not None and Path(found).resolve() == torn.resolve()
    assert np.array_equal(weights_of(found), weights_of(tmp_path / "origin" / "checkpoint-5"))


def test_an_old_one_here_gives_way_to_a_newer_one_of_the_vault(vault: Vault, tmp_path: Path) -> None:
    checkpoint(tmp_path / "run", 3)
    time.sleep(0.02)
    saved(vault, tmp_path, 5)
    found, _ = restored(vault, tmp_path / "run")
    assert found is not None and found.endswith("checkpoint-5")
    assert (tmp_path / "run" / "checkpoint-3").exists(), "what lies here and is not in the way stays"


def test_a_store_that_does_not_answer_is_no_reason_to_begin_anew(vault: Vault, tmp_path: Path) -> None:
    saved(vault, tmp_path, 5)

    def away(*_: object, **__: object) -> None:
        raise StoreUnreachableError("the store does not answer")

    opened = holdfast.open(vault.url)
    opened.handle.store.list = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnreachableError):
        restored(opened, tmp_path / "run")


def test_a_checkpoint_that_is_deleted_at_once_is_saved_whole(vault: Vault, tmp_path: Path) -> None:
    place = checkpoint(tmp_path / "run", 5)
    kept = weights_of(place)
    shipper = Shipper(vault.url, "llm")
    try:
        shipper.send_folder(place, step=5, metrics={}, metadata={})
        shutil.rmtree(place)  # as `save_total_limit` does, while the saving process has not even started
        assert shipper.settle(60)
        stats = shipper.stats()
    finally:
        shipper.close()
    assert stats["last_durable_step"] == 5 and stats["troubles"] == {}
    found, _ = restored(holdfast.open(vault.url), tmp_path / "again")
    assert found is not None and np.array_equal(weights_of(found), kept)
    assert (Path(found) / "circumstances.json").exists()
    assert not (tmp_path / "run" / ".holdfast").exists()


def test_a_vault_that_cannot_be_opened_costs_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shipper = Shipper(str(tmp_path / "nowhere"), "llm", close_seconds=0.5)
    try:
        for step in (5, 10):
            with shipper.troubles.caught("sending"):
                shipper.send_folder(checkpoint(tmp_path / "run", step), step=step, metrics={}, metadata={})
        assert not shipper.settle(3)
        waiting = shipper.stats()
    finally:
        shipper.close()
    ended = shipper.stats()
    assert waiting["last_durable_step"] is None and ended["last_durable_step"] is None
    assert waiting["troubles"] == {"late": 1} and "nowhere" in waiting["last_trouble"]
    assert ended["failed"] == 2
    assert any("training goes on" in record.message for record in caplog.records if record.levelname == "WARNING")


def test_what_waits_for_a_store_is_saved_when_it_is_back_though_the_files_are_long_deleted(
    vault: Vault, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    Path(vault.url).rename(tmp_path / "away")
    shipper = Shipper(vault.url, "llm")
    try:
        for step in (5, 10):
            shipper.send_folder(checkpoint(run, step), step=step, metrics={}, metadata={})
            shutil.rmtree(run / f"checkpoint-{step}")
        assert not shipper.settle(3)
        assert shipper.stats()["last_durable_step"] is None
        (tmp_path / "away").rename(vault.url)
        assert shipper.settle(90), shipper.stats()
        stats = shipper.stats()
    finally:
        shipper.close()
    assert stats["last_durable_step"] == 10
    assert stats["troubles"] == {"late": 1}
    found, _ = restored(holdfast.open(vault.url), tmp_path / "again")
    assert found is not None and found.endswith("checkpoint-10")


def test_while_the_store_is_away_two_folders_are_held_and_no_more(tmp_path: Path) -> None:
    """The first is what the saving process is at, the other the newest: else `save_total_limit` would free nothing."""
    run = tmp_path / "run"
    shipper = Shipper(str(tmp_path / "nowhere"), "llm", close_seconds=0.5)
    try:
        for step in (5, 10, 15, 20):
            with shipper.troubles.caught("sending"):
                shipper.send_folder(checkpoint(run, step), step=step, metrics={}, metadata={})
        held = sorted(place.name for place in (run / ".holdfast").glob("*/*"))
        counts = shipper.stats()["troubles"]
    finally:
        shipper.close()
    assert held == ["checkpoint-20", "checkpoint-5"]
    assert counts["superseded"] == 2
    deadline = time.monotonic() + 20
    while (run / ".holdfast").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (run / ".holdfast").exists()


def test_a_misspelt_option_is_an_error_at_once() -> None:
    with pytest.raises(UsageError, match="when_buzy"):
        Shipper("vault", "llm", when_buzy="skip")
