"""What a save and a listing ask of the store does not grow with the number of snapshots. Operations are counted, not
seconds: those are for `benchmarks/many_snapshots.py`, whose vaults these are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from holdfast.stores.local import LocalStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import NoteTaker, TrialVault

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.many_snapshots import ASSET, fill

MANY, FEW = 300, 10


@pytest.fixture
def vaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, TrialVault]:
    for name in ("CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return {number: fill(tmp_path / f"with-{number}", number, packs=False) for number in (FEW, MANY)}


def counted_save(trial: TrialVault, source: Path) -> Mapping[str, int]:
    """As a process of its own would do it."""
    store = CountingStore(LocalStore(trial.store.url))
    vault = TrialVault(store, trial.keeper).open()
    report = vault.save(ASSET, source)
    assert report.latest and report.validated
    return store.counts


def test_a_save_asks_no_more_of_a_vault_with_many_snapshots(vaults: dict[int, TrialVault], tmp_path: Path) -> None:
    source = tmp_path / "content"
    counts: dict[int, list[Mapping[str, int]]] = {FEW: [], MANY: []}
    for _ in range(3):
        source.write_bytes(os.urandom(200_000))
        for number, trial in vaults.items():
            counts[number].append(counted_save(trial, source))
    assert counts[MANY][1:] == counts[FEW][1:]
    assert max(count["listed"] for count in counts[MANY][1:]) < FEW * 4


def test_a_machine_that_has_lost_its_memory_lists_all_once(
    vaults: dict[int, TrialVault], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-cache"))
    source = tmp_path / "content"
    source.write_bytes(os.urandom(200_000))
    assert counted_save(vaults[MANY], source)["listed"] > 2 * MANY
    source.write_bytes(os.urandom(200_000))
    assert counted_save(vaults[MANY], source)["listed"] < FEW * 4


def test_a_listing_reads_what_is_new(vaults: dict[int, TrialVault], tmp_path: Path) -> None:
    def reads() -> int:
        store = CountingStore(LocalStore(vaults[MANY].store.url))
        vault = TrialVault(store, vaults[MANY].keeper).open()
        store.reset()
        assert len(vault.snapshots(ASSET)) == expected
        return store.counts.get("get", 0)

    expected = MANY
    assert reads() >= MANY - 1
    assert reads() == 0
    (tmp_path / "content").write_bytes(b"more")
    vaults[MANY].open().save(ASSET, tmp_path / "content")
    expected += 1
    assert reads() <= 1
    assert reads() == 0


def test_a_first_listing_that_takes_long_tells_how_far_it_is(vaults: dict[int, TrialVault]) -> None:
    for number, phases in ((FEW, []), (MANY, ["reading snapshots"]), (MANY, [])):
        progress = Following()
        trial = TrialVault(LocalStore(vaults[number].store.url), vaults[number].keeper)
        assert len(trial.open(progress=progress).snapshots()) == number
        assert progress.phases == phases
        assert progress.done == progress.total


class Following(NoteTaker):
    """Knows which phases there were, what they announced and what was done of it."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[str] = []
        self.total = self.done = 0

    def phase(self, name: str, total_bytes: int | None) -> None:
        self.phases.append(name)
        self.total += total_bytes or 0

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        self.done += done_bytes


def test_pointers_are_found_without_listing_their_history(vaults: dict[int, TrialVault]) -> None:
    store = CountingStore(LocalStore(vaults[MANY].store.url))
    vault = TrialVault(store, vaults[MANY].keeper).open()
    newest = vault.find(ASSET)
    store.reset()
    assert {name: ref.target for name, ref in vault.tags(ASSET).items()} == dict.fromkeys(
        ("latest", "validated"), newest.id
    )
    assert store.counts == {"folders": 1, "list": 2, "listed": 2, "get": 2}
