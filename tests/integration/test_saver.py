"""A Saver with a real vault and its real saving process."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import holdfast
from holdfast.errors import DamageError, NotFoundError, SourceChangedError, UsageError
from holdfast.training import Saver, Ticket
from holdfast.training.circumstances.model import parsed
from holdfast.training.intervals import Interval, note_in
from holdfast.vault.vault import Vault

LONG = 120.0  # never waited for where all is well


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))
    return holdfast.create(tmp_path / "vault")


@pytest.fixture
def saver(vault: Vault) -> Iterator[Saver]:
    with Saver(vault, asset="llm", close_seconds=LONG) as made:
        yield made


class Trained:
    """A model that learns something, and everything that belongs to it."""

    def __init__(self, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.01)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 100)
        self.generator = torch.Generator().manual_seed(seed)
        self.random = np.random.default_rng(seed)
        self.step = 0

    def train(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            batch = torch.rand(16, 8, generator=self.generator) + float(self.random.random()) + random.random() * 0
            loss = (self.model(batch).squeeze() - batch.sum(1)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            losses.append(loss.item())
        return losses

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "rng": [self.generator, self.random],
            "step": self.step,
        }


def test_training_goes_on_from_the_vault_as_if_nothing_had_happened(saver: Saver, vault: Vault) -> None:
    first = Trained()
    first.train(5)
    ticket = saver.save(first.state(), step=5, metrics={"loss": 0.5}, tags=["five"], extra_files={"notes/a.txt": b"x"})
    undisturbed = first.train(7)  # changes what was staged from, not what was staged
    assert ticket.require(LONG)
    assert ticket.verdict == "good"
    assert saver.last_durable_step == 5
    second = Trained(seed=9)
    restored = saver.restore(into=second.state())
    second.step = restored["step"]
    assert second.step == 5
    assert second.train(7) == undisturbed
    root = vault.find("llm@five")
    assert root.step == 5
    assert root.meta["metric.loss"] == "0.5"
    assert vault.find("llm@validated").id == ticket.snapshot
    names = {os.fsdecode(entry.path) for entry in vault.files(root)}
    assert {"state.json", "model.safetensors", "optimizer.safetensors", "notes/a.txt"} <= names


def test_the_snapshot_is_of_files_that_safetensors_reads(saver: Saver, vault: Vault, tmp_path: Path) -> None:
    trained = Trained()
    trained.train(2)
    snapshot = saver.save(trained.state(), step=2).require(LONG)
    vault.restore(snapshot, tmp_path / "files")
    loaded = safetensors.torch.load_file(tmp_path / "files" / "model.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.model.state_dict().items())
    assert (vault.load(snapshot)["model.safetensors::0.weight"][...] == trained.model[0].weight.detach().numpy()).all()


def test_what_is_saved_is_the_state_at_the_call(saver: Saver) -> None:
    tensor = torch.zeros(1 << 20)
    ticket = saver.save({"t": tensor, "n": np.zeros(3)}, step=1)
    tensor.fill_(7)
    ticket.require(LONG)
    assert saver.restore(reference="step=1")["t"].sum() == 0


def test_successive_states_are_deltas_of_each_other(saver: Saver) -> None:
    trained = {"model": {"w": torch.randn(700, 700)}}
    first = saver.save(trained, step=1)
    first.require(LONG)
    trained["model"]["w"] += torch.randn(700, 700) * 1e-6
    second = saver.save(trained, step=2)
    second.require(LONG)
    assert first.stored_bytes is not None and second.stored_bytes is not None
    assert second.stored_bytes < first.stored_bytes * 0.8


def test_what_cannot_be_saved_is_refused_at_once_and_nothing_is_written(saver: Saver, vault: Vault) -> None:
    with pytest.raises(UsageError, match=r"state\['model'\]\['f'\] is a function"):
        saver.save({"model": {"f": lambda: 1}}, step=1)
    with pytest.raises(UsageError, match="latest"):
        saver.save({"a": 1}, tags=["latest"])
    with pytest.raises(UsageError, match="step"):
        saver.save({"a": 1}, step="x")  # type: ignore[arg-type]
    assert saver.stats().saves == 0
    assert saver.wait(0)
    assert vault.snapshots() == []


def test_with_one_pending_a_save_is_skipped_if_so_wished(vault: Vault) -> None:
    told: list[Ticket] = []
    with Saver(vault, asset="llm", when_busy="skip", on_failure=told.append) as saver:
        first = saver.save({"t": torch.zeros(1 << 22)}, step=1)
        second = saver.save({"t": torch.zeros(1 << 22)}, step=2)  # the first is not durable: its process is starting
        assert second.state == "skipped"
        assert "step 1" in str(second.error)
        first.require(LONG)
        assert saver.save({"t": torch.zeros(1 << 22)}, step=3).require(LONG)
    assert told == [second]
    assert saver.stats().skipped == 1


def test_with_one_pending_a_save_waits_by_default(saver: Saver) -> None:
    tickets = [saver.save({"t": torch.full((1 << 20,), float(step))}, step=step) for step in range(4)]
    assert all(ticket.require(LONG) for ticket in tickets)
    assert saver.stats().durable == 4
    assert saver.stats().staging_bytes < 8 << 20  # one copy, used again
    assert saver.stats().waited_seconds > 0


def test_two_staged_copies_if_asked(vault: Vault) -> None:
    with Saver(vault, asset="llm", max_pending=2, when_busy="skip") as saver:
        saver.prepare({"t": torch.zeros(1 << 20)})
        tickets = [saver.save({"t": torch.full((1 << 20,), float(step))}, step=step) for step in range(3)]
        assert [ticket.state for ticket in tickets][2] == "skipped"
        assert saver.wait(LONG)
        assert [ticket.is_durable for ticket in tickets] == [True, True, False]


def test_the_staging_memory_grows_with_the_state(saver: Saver) -> None:
    for size in (1 << 10, 1 << 20, 1 << 22, 1 << 12):
        assert saver.save({"t": torch.arange(size)}, step=size).require(LONG)
        assert torch.equal(saver.restore(reference=f"step={size}")["t"], torch.arange(size))


def test_a_folder_is_saved_in_the_background(saver: Saver, vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-7"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    assert saver.save_folder(folder, step=7, metrics={"loss": 1.0}, metadata={"by": "me"}).require(LONG)
    root = vault.find("llm@latest")
    assert (root.step, root.name, root.meta["by"]) == (7, "checkpoint-7", "me")
    with pytest.raises(DamageError, match="no snapshot of 'llm'"):
        saver.restore()  # files, not a state
    vault.restore("llm", tmp_path / "back")
    assert (tmp_path / "back" / "weights.bin").read_bytes() == bytes(range(256))


def test_a_folder_that_is_gone_fails_its_save_only(saver: Saver, tmp_path: Path) -> None:
    ticket = saver.save_folder(tmp_path / "nowhere", step=1)
    assert not ticket.wait(LONG)
    assert isinstance(ticket.error, SourceChangedError)
    assert saver.save({"a": 1}, step=2).require(LONG)


def test_a_damaged_snapshot_is_passed_over(saver: Saver, vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    saver.save({"t": torch.full((1 << 16,), 1.5)}, step=1).require(LONG)
    before = set(Path(vault.url, "packs").rglob("*"))
    second = saver.save({"t": torch.rand(1 << 16)}, step=2).require(LONG)
    for pack in set(Path(vault.url, "packs").rglob("*")) - before:
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[len(data) // 2] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert saver.restore()["t"][0] == 1.5
    assert second in caplog.text
    with pytest.raises(DamageError):
        saver.restore(reference="step=2")


def test_into_another_state_than_was_saved(saver: Saver) -> None:
    saver.save({"m": {"w": torch.ones(3)}, "n": [np.zeros(2), 5]}, step=1).require(LONG)
    target = {"m": {"w": torch.zeros(3)}, "n": [np.ones(2), 0]}
    weight, array = target["m"]["w"], target["n"][0]
    got = saver.restore(into=target)
    assert got["n"][1] == 5
    assert got["m"]["w"] is weight and torch.equal(weight, torch.ones(3))
    assert (array == 0).all()
    for wrong, says in (
        ({"m": {"w": torch.zeros(4)}}, r"state\['m'\]\['w'\] is float32\[4\] here, and float32\[3\] in the snapshot"),
        ({"m": {"w": torch.zeros(3).half()}}, "float16"),
        ({"m": {"v": torch.zeros(3)}}, "'v'"),
    ):
        with pytest.raises(UsageError, match=says):
            saver.restore(into=wrong)


def test_nothing_there_is_told_as_such(saver: Saver) -> None:
    with pytest.raises(NotFoundError, match="no snapshot of 'llm'"):
        saver.restore()


def test_circumstances_of_any_shape_go_along_and_cannot_fail_a_save(vault: Vault, tmp_path: Path) -> None:
    def fails() -> Any:
        raise ValueError("no git here")

    for number, hook in enumerate((lambda: {"lr": 0.1}, fails)):
        with Saver(vault, asset=f"a{number}", circumstances=hook) as saver:
            assert saver.save({"a": torch.zeros(2)}, step=1).require(LONG)
    vault.restore("a0", tmp_path / "out")
    told = parsed((tmp_path / "out" / "circumstances.json").read_bytes())
    assert told.hyperparameters == {"lr": "0.1"} and told.step == 1
    assert "circumstances.json" not in {os.fsdecode(entry.path) for entry in vault.files(vault.find("a1"))}


def test_gathered_circumstances_are_read_again_from_the_snapshot(vault: Vault) -> None:
    from holdfast.training.circumstances import Gatherer, circumstances_of

    with Saver(vault, asset="llm", circumstances=Gatherer(hyperparameters={"lr": 0.1})) as saver:
        saver.save({"a": torch.zeros(2)}, step=3).require(LONG)
    found = circumstances_of(vault, vault.find("llm"))
    assert found is not None
    assert found.step == 3
    assert found.hyperparameters == {"lr": "0.1"}


def test_the_saving_process_loads_no_framework_and_gives_way(saver: Saver) -> None:
    saver.save({"t": torch.zeros(10)}, step=1).require(LONG)
    process = Path("/proc") / str(saver.process)
    assert "libtorch" not in process.joinpath("maps").read_text()
    assert int(process.joinpath("stat").read_text().rpartition(")")[2].split()[16]) >= 10
    assert b"HOLDFAST" not in process.joinpath("cmdline").read_bytes()


def test_an_append_only_writer_saves_what_it_cannot_read(vault: Vault, tmp_path: Path, monkeypatch: Any) -> None:
    from holdfast.control.keys.key_files import export_writer

    export_writer(vault, "trainer", tmp_path / "writer")
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "writer"))
    with Saver(vault.url, asset="llm") as saver:
        snapshot = saver.save({"t": torch.arange(5)}, step=1, tags=["kept"]).require(LONG)
    assert vault.find("llm@kept").id == snapshot
    assert vault.find("llm").writer == "trainer"


def test_the_memory_is_given_back_and_the_process_ends(vault: Vault) -> None:
    saver = Saver(vault, asset="llm")
    saver.save({"t": torch.zeros(1 << 20)}, step=1).require(LONG)
    process = saver.process
    assert _staging_files() >= 1
    saver.close()
    assert not Path(f"/proc/{process}").exists()
    assert saver.stats().staging_bytes == 0
    with pytest.raises(UsageError, match="closed"):
        saver.save({"t": torch.zeros(1)})
    assert _staging_files() == 0


def test_a_forked_child_keeps_neither_line_nor_memory(saver: Saver) -> None:
    saver.save({"t": torch.zeros(1 << 20)}, step=1).require(LONG)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            saver.save({"t": torch.zeros(1)})
            os.write(writer, b"saved")
        except UsageError:
            os.write(writer, str(_staging_files()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"0"
    os.close(reader), os.close(writer)
    assert saver.save({"t": torch.ones(1)}, step=2).require(LONG)


def _staging_files() -> int:
    """How many staging memories this process holds open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += "holdfast-staging" in os.readlink(link)
        except OSError:
            continue
    return found


def test_nonsense_is_refused_when_it_is_made(vault: Vault) -> None:
    for wrong in ({"max_pending": 0}, {"when_busy": "x"}, {"policy": "x"}):
        with pytest.raises(UsageError):
            Saver(vault, asset="llm", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="memory"):
        Saver("memory://x", asset="llm")


def test_an_interval_learns_what_saves_cost(vault: Vault) -> None:
    """The loop asks it, the saver tells it, and the snapshot says what it knew."""
    interval = Interval(mtbf_seconds=3600.0, rpo_seconds=600.0, first_seconds=0.0)
    with Saver(vault, asset="llm", interval=interval, metadata={"run": "a"}, close_seconds=LONG) as saver:
        for step in range(1, 4):
            assert saver.save({"w": np.full(1000, step)}, step=step).wait(LONG)
    assert interval.choice.overhead is not None, "cost and rate are known"
    root = vault.find("llm")
    note = note_in(root.meta)
    assert note is not None and note.measured_saves == 2 and note.cost is not None
    assert note.cost.durable_seconds > 0 and root.meta["run"] == "a"
