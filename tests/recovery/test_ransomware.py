"""The ransomware drill: with the lock everything older than the attack comes back; without it nothing does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.drills.ransomware.drill import Outcome, Setting, run_drill
from holdfast.drills.ransomware.surface import MemorySurface, S3Surface
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.opening import open_lockable
from holdfast.stores.retention.port import Mode, Period
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, LockingSeaweed, MotoLockServer, s3_client
from holdfast.testing.workspace import own_memory

MONTH = Period(30.0 * 86_400)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path) -> Iterator[None]:
    with own_memory(tmp_path / "memory"):
        yield


def on_memory(folder: Path, lock: Period | None) -> Outcome:
    clock = ManualClock()
    store = VersionedMemoryStore(clock)
    return run_drill(Setting(lambda: store, MemorySurface(store), lock, megabytes=0.2, clock=clock), folder)


def on_server(
    server: LockingSeaweed | MotoLockServer, folder: Path, lock: Period | None, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    for variable, value in ORDINARY_ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    bucket = server.new_bucket()
    client = s3_client(server.endpoint, ORDINARY_ENVIRONMENT)
    surface = S3Surface(client, bucket, "vault/", claims_bypass=isinstance(server, LockingSeaweed))

    def opened() -> object:
        return open_lockable(f"s3://{bucket}/vault", options=server.options)

    return run_drill(Setting(opened, surface, lock, snapshots=2, megabytes=0.1), folder)  # type: ignore[arg-type]


def judge(done: Outcome, *, locked: bool) -> None:
    assert done.broken, "an attack after which everything restores proves nothing"
    assert done.damage.destroyed > 0
    assert done.damage.overwritten > 10
    assert done.damage.buried > 5
    if locked:
        assert done.succeeded, done
        assert done.note == ""
        assert done.damage.shortened == 0
        assert done.found == done.snapshots, "the moment before the attack is found without being told"
        assert done.first_s > 0, "the newest snapshot restores straight from the old versions"
        assert done.unprotected_before == done.unprotected_after == 0
        assert done.set_aside > 0
    else:
        assert not done.succeeded
        assert done.restored == 0
        assert done.damage.destroyed == done.damage.versions


@pytest.mark.parametrize("mode", list(Mode))
def test_in_memory(tmp_path: Path, mode: Mode) -> None:
    judge(on_memory(tmp_path / "drill", MONTH._replace(mode=mode)), locked=True)


def test_in_memory_without_the_lock_all_is_lost(tmp_path: Path) -> None:
    judge(on_memory(tmp_path / "drill", None), locked=False)


def test_in_memory_all_is_lost_when_the_lock_ended_before_the_attack(tmp_path: Path) -> None:
    """The period is what protects: one second is over when the attack begins."""
    judge(on_memory(tmp_path / "drill", Period(1.0)), locked=False)


@pytest.mark.servers
def test_on_seaweedfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LockingSeaweed(tmp_path / "seaweed") as server:
        judge(on_server(server, tmp_path / "with", MONTH, monkeypatch), locked=True)
        judge(on_server(server, tmp_path / "without", None, monkeypatch), locked=False)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_on_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MotoLockServer() as server:
        judge(on_server(server, tmp_path / "with", MONTH, monkeypatch), locked=True)
