"""A watch and its replicas: what could not be copied is copied later, and a vault that was set back is filled again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.watching import WatchSummary
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.control.snapshots.watching import WatchSettings, watch_folder
from holdfast.stores.faulty import Fault, FaultyStore, Operation
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.access.members import admit_writer
from holdfast.vault.vault import Vault

from .sample_vault import write_state

ASSET = "run"
UNREACHABLE = "scripted fault: create config/0000000001 failed"
SETTINGS = WatchSettings(ASSET, settle_seconds=0.0, interval_seconds=0.05)


class Told:
    """What a watch warned of; the rest does not matter here."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        raise AssertionError(f"{candidate.path} was not saved") from error

    def found(self, candidate: Candidate) -> None: ...
    def waiting(self, candidate: Candidate, reason: str) -> None: ...
    def protecting(self, candidate: Candidate) -> None: ...
    def protected(self, candidate: Candidate, seconds: float) -> None: ...
    def vanished(self, candidate: Candidate) -> None: ...


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "run"
        self.site = tmp_path / "vault"
        self.trial = new_trial_vault(LocalStore(self.site))
        self.told = Told()

    def checkpoint(self, step: int, name: str = "") -> None:
        folder = self.folder / (name or f"checkpoint-{step}")
        folder.mkdir(parents=True)
        write_state(folder, seed=step)
        (folder / "newest").unlink()
        (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        (folder / "trainer_state.json").write_text("{}")

    def once(self, *replicas: Store, vault: Vault | None = None, settings: WatchSettings = SETTINGS) -> WatchSummary:
        return watch_folder(
            vault or self.trial.open(),
            self.folder,
            settings,
            replicas=replicas,
            once=True,
            stop=threading.Event(),
            events=self.told,
            saved=lambda candidate, outcome: None,
        )

    def steps(self, store: Store) -> list[int | None]:
        return [one.root.step for one in self.trial.open(store=store).snapshots(ASSET) if one.root]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with own_memory(tmp_path / "state"):
        yield Bench(tmp_path)


def unreachable(store: Store) -> FaultyStore:
    return FaultyStore(store, Faults().fail("put create"))


def test_a_copy_that_failed_is_made_up_for(bench: Bench, tmp_path: Path) -> None:
    replica = LocalStore(tmp_path / "replica")
    bench.checkpoint(1)
    first = bench.once(unreachable(replica))
    assert first.protected == ("checkpoint-1",)
    assert [reason for _, reason in first.behind] == [UNREACHABLE]
    second = bench.once(replica)
    assert (second.protected, second.behind) == ((), ())
    assert bench.steps(replica) == [1]


def test_a_replica_that_is_named_later_gets_what_there_was(bench: Bench, tmp_path: Path) -> None:
    for step in (1, 2):
        bench.checkpoint(step)
        bench.once()
    replica = LocalStore(tmp_path / "replica")
    assert bench.once(replica).protected == ()
    assert bench.steps(replica) == [1, 2]


def test_a_writers_watch_mirrors_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    writer = admit_writer(bench.trial.open().handle, "gpu-1")
    bench.checkpoint(1)
    bench.once(vault=bench.trial.open(writer))
    replica = LocalStore(tmp_path / "replica")
    assert bench.once(replica, vault=bench.trial.open(writer)).behind == ()
    assert bench.steps(replica) == [1]


def test_a_watch_tries_again_less_and_less_often(bench: Bench, tmp_path: Path) -> None:
    replica = LocalStore(tmp_path / "replica")
    bench.checkpoint(1)
    bench.once()
    stop = threading.Event()
    tries: list[float] = []

    class Clock(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 100:
                stop.set()

    clock = Clock(1_800_000_000 * NANOSECONDS)

    class BackAtTheFourth(Faults):
        def due(self, operation: Operation) -> Sequence[Fault]:
            if operation.verb in ("put", "create"):
                tries.append(clock.monotonic())
                if len(tries) == 4:
                    self.heal()
            return super().due(operation)

    faulty = FaultyStore(replica, BackAtTheFourth().fail("put create"))
    vault = bench.trial.open()
    vault.handle.clock = clock
    summary = watch_folder(
        vault,
        bench.folder,
        SETTINGS._replace(interval_seconds=5.0),
        replicas=[faulty],
        once=False,
        stop=stop,
        events=bench.told,
        saved=lambda candidate, outcome: None,
    )
    assert summary.behind == ()
    gaps = [after - before for before, after in pairwise(tries[:4])]
    assert gaps == sorted(gaps) and gaps[0] >= 5 and gaps[2] >= 20
    assert bench.steps(replica) == [1]
    assert [warning for warning in bench.told.warnings if "is behind" in warning] == [
        f"{faulty.url} is behind, and will be tried again: {UNREACHABLE}"
    ]


def test_a_vault_that_was_set_back_is_filled_again(bench: Bench, tmp_path: Path) -> None:
    bench.checkpoint(1)
    bench.once()
    shutil.copytree(bench.site, tmp_path / "backup")
    bench.checkpoint(2)
    bench.once()
    shutil.rmtree(bench.site)
    (tmp_path / "backup").rename(bench.site)
    assert bench.once().protected == ("checkpoint-2",)
    assert bench.steps(bench.trial.store) == [1, 2]
    assert any("has lost the snapshots of 1 checkpoints" in warning for warning in bench.told.warnings)
    assert bench.once().protected == ()


def test_what_was_dropped_on_purpose_stays_dropped(bench: Bench) -> None:
    for step in (1, 2):
        bench.checkpoint(step)
        bench.once()
    vault = bench.trial.open()
    vault.apply_drop(vault.plan_drop(f"{ASSET}@step=1"))
    assert bench.once().protected == ()
    assert bench.steps(bench.trial.store) == [2]


def test_names_that_are_no_text_and_trackers_are_in_the_metadata(bench: Bench) -> None:
    bench.checkpoint(3, os.fsdecode(b"step_3"))
    (bench.folder / "latest_checkpointed_iteration.txt").write_text("3\n")
    odd = bench.folder / os.fsdecode(b"caf\xe9-step_4.safetensors")
    odd.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert len(bench.once().protected) == 2
    third, fourth = (one.root for one in bench.trial.open().snapshots(ASSET) if one.root)
    assert third.meta["checkpoint"] == "step_3"
    assert third.meta["tracker"] == "latest_checkpointed_iteration.txt: 3"
    assert fourth.meta["checkpoint"] == "caf\\xe9-step_4.safetensors"
