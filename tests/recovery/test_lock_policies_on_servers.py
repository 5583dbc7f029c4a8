"""Locks from a policy, a hidden snapshot and the way back, on a real SeaweedFS with object lock and on moto."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.objectives.retention_policy import parse_policy
from holdfast.stores.protocol import Store
from holdfast.stores.retention.opening import open_lockable
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Period, locks_of
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, LockingSeaweed, MotoLockServer, s3_client
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.moments import find_moments
from holdfast.vault.locking.reach import reach_of
from holdfast.vault.locking.recovering import apply_recovery, plan_recovery
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.locking.state import lock_report

DAY = 86_400
NS = 10**9
_POLICY = parse_policy("version: 1\nrecent: 0s\nrules:\n  - assets: '*'\n    keep: {within: 60d}\n")


@pytest.fixture(params=[pytest.param("seaweed", marks=pytest.mark.servers), "moto"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LockingSeaweed | MotoLockServer]:
    with ExitStack() as stack:
        if request.param == "seaweed":
            yield stack.enter_context(LockingSeaweed(tmp_path / "data"))
        else:
            yield stack.enter_context(MotoLockServer())


def test_a_policy_locks_and_a_hidden_snapshot_comes_back(
    server: LockingSeaweed | MotoLockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ORDINARY_ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    bucket = server.new_bucket()
    client = s3_client(server.endpoint, ORDINARY_ENVIRONMENT)

    def opened() -> Store:
        return open_lockable(f"s3://{bucket}/vault", options=server.options)

    source = tmp_path / "source"
    source.mkdir()
    content = random.Random(1).randbytes(90_000)
    (source / "weights.bin").write_bytes(content)
    with own_memory(tmp_path / "memory"):
        trial = new_trial_vault(opened(), pack_bytes=64 << 10)
        write_setting(trial.open().handle, Period(7.0 * DAY), _POLICY)
        saved = trial.open(store=opened()).save("m", source)
        assert saved.locked is not None
        assert not saved.locked.failures
        store = opened()
        locks = locks_of(store)
        assert locks is not None
        handle = trial.open(store=store).handle
        [one] = lock_report(handle).snapshots
        assert one.term is not None
        assert one.until_ns >= one.term.until > locks.now_ns() + 59 * DAY * NS
        SYSTEM_CLOCK.sleep(2.1)  # stores tell times to a second
        root = handle.keys.names.snapshot_key("m", saved.root.id)
        pack = sorted(reach_of(handle, saved.root).packs)[0]
        client.delete_object(Bucket=bucket, Key=f"vault/{root}")
        client.put_object(Bucket=bucket, Key=f"vault/{pack}", Body=b"garbage")
        done = extend_locks(trial.open(store=opened()).handle)
        assert done.hidden == (root,)
        found = find_moments(store, locks, lambda past: trial.open(store=past).handle)
        assert [moment.is_whole for moment in found] == [False, True]
        assert found[1].snapshots == (saved.root.id,)
        past = PastStore(store, locks, found[1].time_ns)
        trial.open(store=past).restore(saved.root.id, tmp_path / "past")
        assert (tmp_path / "past" / "weights.bin").read_bytes() == content
        plan, _ = plan_recovery(store, locks, lambda past: trial.open(store=past).handle, found[1].time_ns)
        assert not apply_recovery(store, locks, plan).failures
        trial.open(store=opened()).restore("m", tmp_path / "out")
        assert (tmp_path / "out" / "weights.bin").read_bytes() == content
