"""What goes wrong beside a training that saves: processes that die, stores that are away, disks that are full, keys
that do not fit. Training goes on, nothing is reported durable that is not, and what waited is sent when it can be.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import holdfast
from holdfast.errors import FailedError, StorageFullError
from holdfast.testing.servers import SeaweedServer
from holdfast.training import Saver, Ticket
from holdfast.vault.vault import Vault

from .places import small_file_system

LONG = 120.0  # never waited for where all is well


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))


def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def noise(megabytes: float, seed: int = 0) -> torch.Tensor:
    """Bytes that no codec makes smaller."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, int(megabytes * (1 << 20)), np.uint8))


def steps_in(vault: Vault) -> list[int | None]:
    """Of its snapshots, in the order in which they were committed."""
    roots = [one.root for one in vault.snapshots("llm") if one.root is not None]
    return [root.step for root in sorted(roots, key=lambda root: root.created)]


def test_a_saving_process_that_is_killed_is_started_again_with_what_was_staged(tmp_path: Path) -> None:
    vault = holdfast.create(tmp_path / "vault")
    with Saver(vault, asset="llm") as saver:
        tensor = noise(4)
        killed = saver.process
        assert killed is not None
        os.kill(killed, signal.SIGSTOP)  # so that it is certainly not done
        ticket = saver.save({"t": tensor.clone()}, step=1)
        os.kill(killed, signal.SIGKILL)
        assert ticket.require(LONG)
        assert saver.process != killed
        assert saver.stats().restarts == 1
        assert torch.equal(saver.restore()["t"], tensor)


def test_a_saving_process_that_hangs_holds_training_no_longer_than_allowed(tmp_path: Path) -> None:
    vault, failed = holdfast.create(tmp_path / "vault"), list[Ticket]()
    saver = Saver(vault, asset="llm", busy_seconds_max=0.3, on_failure=failed.append)
    saving = saver.process
    assert saving is not None
    os.kill(saving, signal.SIGSTOP)
    first = saver.save({"t": torch.zeros(9)}, step=1)
    second = saver.save({"t": torch.zeros(9)}, step=2)
    assert (first.state, second.state) == ("pending", "skipped")
    assert not saver.wait(0.1)
    assert saver.exposure.newest_step == 1
    saver.close(timeout=0.2)
    assert not is_alive(saving)
    assert failed == [second, first]
    assert "closed before it was durable, it is lost" in str(first.error)


def test_a_state_that_kills_every_process_fails_and_training_goes_on(tmp_path: Path) -> None:
    vault, failed = holdfast.create(tmp_path / "vault"), list[Ticket]()
    with Saver(vault, asset="llm", on_failure=failed.append) as saver:
        stopped: set[int] = set()
        assert saver.process is not None
        os.kill(saver.process, signal.SIGSTOP)
        ticket = saver.save({"t": torch.zeros(9)}, step=1)
        while not ticket.done():
            process = saver.process
            if process is not None and process not in stopped:
                stopped.add(process)
                os.kill(process, signal.SIGKILL)
            time.sleep(0.005)
        assert failed == [ticket]
        assert "died 3 times" in str(ticket.error)
        assert len(stopped) == 3
        assert saver.last_durable_step is None
        assert saver.save({"t": torch.zeros(9)}, step=2).require(LONG)
        assert saver.last_durable_step == 2
    assert steps_in(vault) == [2]


TRAINING = """
import os, signal, sys, time
import numpy as np
from holdfast.training import Saver
saver = Saver(sys.argv[1], asset="llm", orphan_seconds=float(sys.argv[2]))
if sys.argv[3] == "stop":
    saver.save({"t": np.zeros(1)}, step=0).require(100)
    os.kill(saver.process, signal.SIGSTOP)
ticket = saver.save({"t": np.arange(1 << 20)}, step=1)
print(saver.process, flush=True)
if sys.argv[3] != "end":
    time.sleep(1000)
"""


def training(vault: str, orphan_seconds: float, how: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, vault, str(orphan_seconds), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        return process, int(said.readline())


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_when_training_is_killed_what_was_staged_is_saved_and_nothing_is_left(tmp_path: Path) -> None:
    vault = holdfast.create(tmp_path / "vault")
    before = sorted(os.listdir("/dev/shm"))
    process, saving = training(vault.url, 60, "stop")
    process.kill()
    process.wait()
    os.kill(saving, signal.SIGCONT)  # the kernel does that, too, to who lost its parent in this way
    until(lambda: not is_alive(saving))
    assert steps_in(vault) == [0, 1]
    assert vault.verify("llm").root.step == 1
    assert [name for name in sorted(os.listdir("/dev/shm")) if name not in before and "holdfast" in name] == []


def test_when_training_is_killed_the_saving_process_does_not_wait_for_a_store_for_ever(tmp_path: Path) -> None:
    process, saving = training(str(tmp_path / "nothing"), 0.5, "wait")
    process.kill()
    process.wait()
    until(lambda: not is_alive(saving), 60)


def test_a_program_that_just_ends_waits_for_its_save(tmp_path: Path) -> None:
    vault = holdfast.create(tmp_path / "vault")
    process, saving = training(vault.url, 60, "end")
    assert process.wait(LONG) == 0
    until(lambda: not is_alive(saving))
    assert steps_in(vault) == [1]


def test_with_a_wrong_key_training_goes_on_and_the_newest_state_waits(tmp_path: Path) -> None:
    vault = holdfast.create(tmp_path / "vault")
    right = (tmp_path / "key").read_bytes()
    (tmp_path / "key").unlink()
    failed: list[Ticket] = []
    with Saver(vault.url, asset="llm", spool=tmp_path / "spool", on_failure=failed.append) as saver:
        first = saver.save({"t": torch.zeros(5)}, step=1)
        until(lambda: first.state == "waiting")
        assert saver.exposure.last_durable_step is None
        assert saver.exposure.backlog == 1
        assert saver.exposure.reason
        second = saver.save({"t": torch.ones(5)}, step=2)
        until(lambda: second.state == "waiting")
        assert failed == [first]
        assert "newer state took its place" in str(first.error)
        (tmp_path / "key").write_bytes(right)
        (tmp_path / "key").chmod(0o600)
        assert second.require(LONG)
        assert str(saver.exposure) == "step 2 is durable, nothing waits"
    assert steps_in(vault) == [2]


def test_a_full_disk_under_the_vault_fills_the_spool_and_then_empties_it(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 12) as small:
        vault = holdfast.create(small / "vault")
        with Saver(vault.url, asset="llm", spool=tmp_path / "spool") as saver:
            assert saver.save({"t": noise(2)}, step=1).require(LONG)
            tickets = [saver.save({"t": noise(11, seed=step)}, step=step) for step in (2, 3)]
            until(lambda: [ticket.state for ticket in tickets] == ["spooled", "spooled"])
            assert saver.last_durable_step == 1
            assert saver.exposure.spooled_bytes > 22 << 20
            assert isinstance(tickets[0].error, StorageFullError)
            assert saver.process is not None
            os.kill(saver.process, signal.SIGKILL)  # the next one finds them in the spool, and whose they are
            subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
            assert all(ticket.require(LONG) for ticket in tickets)
            assert saver.last_durable_step == 3
            assert torch.equal(saver.restore(reference="step=3")["t"], noise(11, seed=3))
        assert steps_in(vault) == [1, 3, 2]  # the newest first
        assert list((tmp_path / "spool").rglob("*.spool")) == []


def test_what_one_run_left_in_the_spool_the_next_one_sends(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 12) as small:
        vault = holdfast.create(small / "vault")
        with Saver(vault.url, asset="llm", spool=tmp_path / "spool") as saver:
            assert saver.save({"t": noise(1)}, step=1).require(LONG)
            ticket = saver.save({"t": noise(12, seed=7)}, step=2, tags=["kept"], metrics={"loss": 2.0})
            until(lambda: ticket.state == "spooled")
            saver.close(timeout=1)
            assert not ticket.is_durable
            assert "stays in the spool" in str(ticket.error)
        [left] = (tmp_path / "spool").rglob("*.spool")
        assert noise(12, seed=7).numpy().tobytes()[:4096] not in left.read_bytes()
        assert left.stat().st_mode & 0o777 == 0o600
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        with Saver(vault.url, asset="llm", spool=tmp_path / "spool"):
            until(lambda: steps_in(vault) == [1, 2])
        root = vault.find("llm@kept")
        assert (root.step, root.meta["metric.loss"]) == (2, "2.0")
        assert not left.exists()


def test_a_full_disk_under_the_spool_keeps_the_newest_state_in_memory(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 12) as small, small_file_system(tmp_path / "spool", 15) as spool:
        vault, failed = holdfast.create(small / "vault"), list[Ticket]()
        with Saver(vault.url, asset="llm", spool=spool, on_failure=failed.append, close_seconds=5) as saver:
            assert saver.save({"t": noise(1)}, step=1).require(LONG)
            second = saver.save({"t": noise(11, seed=2)}, step=2)
            until(lambda: second.state == "spooled")
            third = saver.save({"t": noise(11, seed=3)}, step=3)
            until(lambda: third.state == "spooled")  # the second gave way
            assert second.state == "failed"
            assert saver.stats().dropped == 1
            fourth = saver.save({"t": noise(16, seed=4)}, step=4)  # no spool can hold that
            until(lambda: fourth.state in ("waiting", "failed"))
            assert fourth.state == "waiting"
            subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
            assert fourth.require(LONG)
        assert steps_in(vault)[:2] == [1, 4]


@pytest.mark.servers
def test_a_store_that_is_down_in_mid_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SeaweedServer(tmp_path / "data") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        vault = holdfast.create(server.url, store_options=server.options)
        with Saver(vault.url, asset="llm", store_options=server.options, spool=tmp_path / "spool") as saver:
            weights = torch.randn(200, 200)
            assert saver.save({"w": weights}, step=1).require(LONG)
            server.kill()
            tickets = []
            for step in (2, 3, 4):
                weights += 1e-3
                ticket = saver.save({"w": weights}, step=step, tags=["milestone"] if step == 2 else [])
                until(lambda ticket=ticket: ticket.state == "spooled")
                tickets.append(ticket)
            assert saver.last_durable_step == 1
            assert saver.exposure.backlog == 3
            assert [ticket.is_durable for ticket in tickets] == [False] * 3
            server.restart()
            assert saver.wait(LONG)
            assert saver.last_durable_step == 4
            assert all(ticket.is_durable for ticket in tickets)
        assert steps_in(vault) == [1, 4, 2, 3]  # the newest, the milestone, the rest
        assert vault.find("llm@latest").step == 4
        assert vault.find("llm@validated").step == 4
        assert vault.find("llm@milestone").step == 2


def test_without_memory_to_stage_a_save_fails_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, failed = holdfast.create(tmp_path / "vault"), list[Ticket]()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Saver(vault, asset="llm", on_failure=failed.append) as saver:
        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", full)
            ticket = saver.save({"t": torch.zeros(9)}, step=1)
        assert isinstance(ticket.error, StorageFullError)
        assert failed == [ticket]
        assert saver.save({"t": torch.zeros(9)}, step=2).require(LONG)


def test_an_on_failure_that_fails_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def angry(ticket: Ticket) -> None:
        raise ValueError("I am no good")

    vault = holdfast.create(tmp_path / "vault")
    with Saver(vault, asset="llm", on_failure=angry) as saver:
        saver.save_folder(tmp_path / "nowhere", step=1).wait(LONG)
        assert saver.save({"t": torch.zeros(9)}, step=2).require(LONG)
        with pytest.raises(FailedError):
            saver.save_folder(tmp_path / "nowhere", step=3).require(LONG)
    assert "on_failure failed for step 1" in caplog.text
