"""Series looked at from where they ended the last time: never another answer than that of a full listing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.format.series import Generations, append_after, generations_at, highest_generation, series_at
from holdfast.vault.snapshots.known import generation_hints
from holdfast.vault.snapshots.refs import LATEST, move_ref, read_history, read_newest_ref

PREFIX = "refs/a/b/"


class Remembered(dict[str, int]):
    """Hints in a dictionary."""

    def highest(self, prefix: str) -> int:
        return self.get(prefix, 0)

    def note(self, prefix: str, generation: int) -> None:
        self[prefix] = generation


def store_with(*generations: int) -> MemoryStore:
    store = MemoryStore()
    for generation in generations:
        store.create(f"{PREFIX}{generation:010d}", b"x")
    return store


def test_whatever_the_hint_all_is_found_that_a_full_listing_finds() -> None:
    dice = random.Random(4)
    above = (1_000_000, 1_000_001, 1_000_003, 1_000_004, 1_000_010, 9_999_999_999)
    for _ in range(400):
        generations = set(range(1, dice.randrange(1, 9))) | set(dice.sample(range(1, 30), dice.randrange(4)))
        generations |= set(dice.sample(above, dice.choice((0, 0, 1, 2))))
        store = store_with(*generations)
        store.create(f"{PREFIX}zz/0000000009", b"nested")
        store.create(f"{PREFIX}0000000009.bak", b"no generation")
        full = series_at(store, PREFIX)
        hint = dice.choice([dice.randrange(0, 35), *above, *generations])
        found = generations_at(store, PREFIX, Remembered({PREFIX: hint}))
        assert found.highest == max(full.generations, default=0), (generations, hint)
        assert list(found.keys()) == full.keys[::-1], (generations, hint)


def test_only_what_is_new_is_listed() -> None:
    store = CountingStore(store_with(*range(1, 501)))
    hints = Remembered()
    assert append_after(store, PREFIX, lambda before: b"first", hints) == 501
    assert hints == {PREFIX: 501}
    store.reset()
    assert append_after(store, PREFIX, lambda before: b"second", hints) == 502
    assert store.counts == {"create": 1, "list": 2, "listed": 2}
    store.reset()
    assert generations_at(store, PREFIX, hints).highest == 502
    assert store.counts == {"list": 1, "listed": 1}


def test_a_hint_of_what_is_not_there_any_more() -> None:
    """The vault was put back to an earlier state: the next generation is the one after its last."""
    hints = Remembered({PREFIX: 9})
    store = store_with(1, 2, 3)
    assert append_after(store, PREFIX, lambda before: b"%d" % before.highest, hints) == 4
    assert store.get(f"{PREFIX}0000000004") == b"3"
    assert hints == {PREFIX: 4}


def test_a_stale_hint_costs_nothing() -> None:
    seen = []

    def make(before: Generations) -> bytes:
        seen.append(before.highest)
        return b"mine"

    assert append_after(store_with(*range(1, 8)), PREFIX, make, Remembered({PREFIX: 3})) == 8
    assert seen == [7]


@pytest.mark.parametrize("generations", [(1, 3), (1, 2, 3, 5), (1, 3, 4)])
def test_nothing_is_written_into_a_gap(generations: tuple[int, ...]) -> None:
    """A copy that was interrupted left out one. Whatever the hint, what is written comes after all that is there."""
    for hint in range(7):
        store, hints = store_with(*generations), Remembered({PREFIX: hint})
        assert append_after(store, PREFIX, lambda before: b"mine", hints) == generations[-1] + 1, hint
        assert store.get(next(generations_at(store, PREFIX).keys())) == b"mine"
        assert hints[PREFIX] == generations[-1] + 1


def test_staying_is_decided_by_what_is_there_now() -> None:
    """By what was the newest once, it would stay; by what is, it moves."""
    store = store_with(1, 2, 3)

    def make(before: Generations) -> bytes | None:
        return b"moved" if before.highest == 3 else None

    assert append_after(store, PREFIX, make, Remembered({PREFIX: 2})) == 4
    assert append_after(store, PREFIX, lambda before: None, Remembered({PREFIX: 2})) == 0
    assert highest_generation(store, PREFIX) == 4


def test_a_generation_behind_a_gap_is_not_overlooked() -> None:
    """Somebody wrote far above the hint: what is written below it would be history from the start."""
    store = store_with(1, 2, 40)
    seen = []

    def make(before: Generations) -> bytes:
        seen.append(before.highest)
        return b"mine"

    assert append_after(store, PREFIX, make, Remembered({PREFIX: 2})) == 41
    assert seen == [40]


def test_a_generation_that_leaps_ahead_meanwhile_is_not_overlooked() -> None:
    """Between the listing and the creation."""
    store = store_with(1, 2)
    seen = []

    def make(before: Generations) -> bytes:
        seen.append(before.highest)
        if len(seen) == 1:
            store.create(f"{PREFIX}{40:010d}", b"x")
        return b"mine"

    assert append_after(store, PREFIX, make, Remembered({PREFIX: 2})) == 41
    assert seen == [2, 40]


def test_losing_for_ever_is_still_a_conflict() -> None:
    store = store_with(1)

    def make(before: Generations) -> bytes:
        generation = before.highest + 1
        store.create(f"{PREFIX}{generation:010d}", b"always faster")
        return b"mine"

    with pytest.raises(ConflictError):
        append_after(store, PREFIX, make, Remembered({PREFIX: 1}))


class Forgetful(MemoryStore):
    """A server that answers a listing from the midst with nothing, as one of Azure's does."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return iter(()) if after else super().list(prefix)


def test_a_store_that_cannot_list_from_the_midst_is_listed_as_a_whole() -> None:
    store, hints = Forgetful(), Remembered()
    for number in range(1, 5):
        assert append_after(store, PREFIX, lambda before: b"%d" % before.highest, hints) == number
    assert generations_at(store, PREFIX, Remembered({PREFIX: 2})).highest == 4


@pytest.fixture
def on_disk(tmp_path: Path, clock: ManualClock) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=False, clock=clock)


def test_what_is_remembered_is_used_by_the_next_process(on_disk: TrialVault, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"state")
    for _ in range(3):
        on_disk.open().save("llama", tmp_path / "state")
    handle = on_disk.open(store=LocalStore(tmp_path / "vault")).handle
    hints = generation_hints(handle)
    assert hints is not None
    assert hints.highest(handle.keys.names.ref_prefix("llama", LATEST)) == 3
    assert read_newest_ref(handle, "llama", LATEST) == read_history(handle, "llama", LATEST)[-1]


def test_a_vault_that_is_replaced_by_an_older_copy(on_disk: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    source, vault, copy = tmp_path / "state", tmp_path / "vault", tmp_path / "copy"

    def save(content: str) -> str:
        clock.sleep(60)
        source.write_text(content)
        return on_disk.open(store=LocalStore(vault)).save("llama", source).root.id

    kept = [save("1"), save("2")]
    shutil.copytree(vault, copy)
    lost = [save("3"), save("4"), save("5")]
    assert on_disk.open().find("llama").id == lost[-1]
    shutil.rmtree(vault)
    copy.rename(vault)
    notes = NoteTaker()
    opened = on_disk.open(store=LocalStore(vault), progress=notes)
    assert opened.find("llama").id == opened.find("llama@validated").id == kept[-1]
    assert notes.notes == []
    newest = save("6")
    for name in ("llama", "llama@validated"):
        assert on_disk.open(store=LocalStore(vault)).find(name).id == newest
    assert [ref.target for ref in read_history(opened.handle, "llama", LATEST)] == [*kept, newest]
    assert opened.check().damages == []


def test_a_pointer_with_a_gap_is_moved(
    on_disk: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """This machine saw the first generation, another one wrote two more, and the one between was lost."""
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    (tmp_path / "state").write_bytes(b"state")

    def save(machine: str) -> str:
        monkeypatch.setenv("XDG_CACHE_HOME", machine)
        clock.sleep(60)
        vault = on_disk.open(store=LocalStore(tmp_path / "vault"))
        saved = vault.save("llama", tmp_path / "state").root
        vault.tag(saved.id, "gold")
        return saved.id

    for machine in (here, there, there):
        save(machine)
    names = on_disk.open().handle.keys.names
    for name in (LATEST, "validated", "gold"):
        on_disk.store.delete(f"{names.ref_prefix('llama', name)}{2:010d}")
    newest = save(here)
    for name in (LATEST, "validated", "gold"):
        assert on_disk.open().find(f"llama@{name}").id == newest
        assert series_at(on_disk.store, names.ref_prefix("llama", name)).generations == [1, 3, 4]


def test_a_pointer_that_was_moved_by_another_machine(
    on_disk: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine has its own memory; both move the same pointer in turns, and none of its moves is lost."""
    targets = []
    for number in range(9):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"machine-{number % 2}"))
        handle = on_disk.open(store=LocalStore(tmp_path / "vault")).handle
        targets.append(f"{number:026d}")
        assert move_ref(handle, "llama", "tag", targets[-1], "moved") == number + 1
    assert [ref.target for ref in read_history(handle, "llama", "tag")] == targets
