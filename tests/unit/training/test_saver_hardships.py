"""What a saver meets that would end a training, or its saving process: none of it does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from holdfast.errors import FailedError, HoldfastError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.training.saving import duty, saver, staging, worker
from holdfast.training.saving.duty import Duty
from holdfast.training.saving.messages import Failed, SaveOrder, StagedFile
from holdfast.training.saving.saver import Saver
from holdfast.training.saving.slots import Slot
from holdfast.training.saving.spooling import Backlog
from holdfast.training.saving.staging import plan_staging, read_extra_files
from holdfast.training.states.files import plan_files

STATE = {"x": np.zeros(10)}


@pytest.fixture
def saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    made = Saver(tmp_path / "nowhere", "llm", busy_seconds_max=0.1, orphan_seconds=1, on_failure=lambda ticket: None)
    yield made
    made._dispatcher._worker.kill()
    made.close(0)


@pytest.mark.parametrize("resized", [0, 8])
def test_a_tensor_whose_storage_was_freed_is_refused_and_does_not_end_the_process(resized: int) -> None:
    torch = pytest.importorskip("torch")
    flat, turned = torch.zeros(1024), torch.zeros(32, 32).T
    for tensor in (flat, turned):
        tensor.untyped_storage().resize_(resized)
        with pytest.raises(UsageError, match="its storage was freed"):
            plan_files({"model": {"w": tensor}})
    assert plan_files({"model": {"w": torch.zeros(0), "b": torch.zeros(4, 4)[1:, 1:]}}).tensor_bytes


def test_a_save_that_was_interrupted_leaves_the_memory_to_the_next(
    saving: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as interrupted:
        interrupted.setattr(saver, "stage", _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            saving.save(STATE, step=1)
    assert saving.save(STATE, step=2).state != "skipped"


def test_errors_of_other_libraries_are_in_the_ticket_and_the_memory_may_grow_after_them(
    saving: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = []
    for error in (RuntimeError("device gone"), ValueError("odd")):
        with monkeypatch.context() as troubled:
            troubled.setattr(staging, "_copy", lambda parts, target, address, error=error: _raise(error)())
            tickets.append(saving.save(STATE, step=1))
        assert tickets[-1].state == "failed" and str(error) in str(tickets[-1].error)
    assert saving.save({"x": np.zeros(1_000_000)}, step=2).state != "failed"


def test_a_saving_process_that_hears_nothing_does_not_hold_training(
    saving: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_DEAF_SECONDS", 1)
    saving._dispatcher._worker.kill()  # type: ignore[union-attr]
    saving._dispatcher._worker = worker.Worker(saving._dispatcher._settings, *[lambda *_: None] * 2)
    process = saving.process
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    for step in range(600):  # the line takes about 300
        saving.save_folder(tmp_path, step=step)
    assert saving._dispatcher._worker.wait(5)


def test_memory_that_somebody_still_sees_can_be_given_back() -> None:
    slot, seen = Slot(0), list[memoryview]()
    slot.fill(10, seen.append)
    slot.fill(10_000_000, lambda memory: None)
    slot.close()
    assert len(seen[0]) and slot.size == 0


def test_an_extra_file_that_is_not_there_fails_the_save_and_not_the_training(saving: Saver, tmp_path: Path) -> None:
    ticket = saving.save(STATE, step=1, extra_files={"tokenizer.json": tmp_path / "nothing"})
    assert ticket.state == "failed"
    with pytest.raises(FailedError, match="cannot be read"):
        ticket.require(0)


@pytest.mark.parametrize("extra", [{"a": b"", "a/b": b""}, {"state.json/x": b""}, {"model.safetensors/x/y": b""}])
def test_a_file_of_the_state_is_no_folder_of_another(extra: dict[str, bytes]) -> None:
    with pytest.raises(UsageError, match="the folder of"):
        plan_staging(plan_files({"model": {"w": np.zeros(3)}}), extra)
    with pytest.raises(UsageError, match="int"):
        read_extra_files({"a": 5})  # type: ignore[dict-item]


def test_a_spooled_state_that_cannot_be_saved_is_set_aside_and_the_process_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = new_trial_vault(MemoryStore()).open()
    sent: list[Any] = []
    backlog = Backlog(tmp_path, 1 << 30, vault.handle.keys, "llm", sent.append)
    order = SaveOrder(3, 0, [StagedFile("a", 0, 4)], "", 7, 5, {}, {}, {}, [], "warn", True)
    backlog.spool(order, memoryview(b"abcd"))
    one: Any = Duty.__new__(Duty)
    one._held, one._backlog, one._settings = [], backlog, SimpleNamespace(asset="llm")
    one._reach = SimpleNamespace(home=SimpleNamespace(vault=vault, committed=None))
    one._channel = SimpleNamespace(send=sent.append)
    monkeypatch.setattr(duty, "write_staged", _raise(ValueError("a library's")))
    one._send_one()
    [failed] = sent
    assert isinstance(failed, Failed) and failed.ticket == 3 and "a library's" in failed.message
    assert len(backlog) == 0 and list(tmp_path.rglob("*.damaged"))
    backlog.release()


def _raise(error: BaseException) -> Any:
    def raising(*_arguments: Any) -> None:
        raise error

    assert not isinstance(error, HoldfastError)
    return raising
