"""What a repair wrote anew is a new version, which no lock of the old one keeps."""

from __future__ import annotations

import random
from pathlib import Path

from holdfast.clock import ManualClock
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.memory import MemoryStore
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Period
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.locking.state import lock_report
from holdfast.vault.repairing.repair import repair
from holdfast.vault.restoring.fallback import opened_replica


def test_a_save_after_a_repair_locks_what_was_repaired(tmp_path: Path) -> None:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, pack_bytes=64 << 10)
        write_setting(trial.open().handle, Period(30.0 * 86_400))
        source = tmp_path / "source"
        source.mkdir()
        (source / "a").write_bytes(random.Random(1).randbytes(100_000))
        vault = trial.open()
        vault.save("m", source)
        site = MemoryStore(clock)
        replicate(vault.handle, site)
        for info in list(store.list("packs/")):
            store.put(info.key, bytes(info.size))
        repair(vault.handle, [opened_replica(trial.open(store=site).handle)])
        (source / "b").write_bytes(b"new")
        report = vault.save("m", source)
        assert report.locked is not None
        assert report.locked.until_ns is not None
        newest = lock_report(trial.open().handle).snapshots[-1]
        assert newest.until_ns >= report.locked.until_ns
