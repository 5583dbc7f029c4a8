"""Junk among generations: it is ignored or passed over, never obeyed, and `check` tells."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import ConflictError, DamageError, NotFoundError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, TrialVault
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import Check, Ref, encode_record
from holdfast.vault.format.series import append_generation, highest_generation, series_at
from holdfast.vault.snapshots.refs import read_history


def plant(trial: TrialVault, name: str, target: str, ending: str) -> str:
    """A ref that is in order, but for where it lies."""
    handle = trial.open().handle
    key = handle.keys.names.ref_prefix("llama", name) + ending
    record = encode_record(Ref("llama", name, target, 1, "planted", Check("decoded", 1, 1)))
    trial.store.create(key, write_document(handle.keys, Kind.REF, key, record))
    return key


def test_a_leap_is_ignored_and_found(trial: TrialVault, make_snapshot: Any) -> None:
    old = make_snapshot()
    keys = [plant(trial, name, old.id, "9999999999") for name in ("latest", "validated")]
    keys.append(plant(trial, "latest", old.id, "0001000005"))
    trial.store.create(config_key(9_999_999_999), b"junk")
    newest = make_snapshot()
    assert trial.open().find("llama") == trial.open().find("llama@validated") == newest
    assert {ref.target for ref in trial.open().tags("llama").values()} == {newest.id}
    damaged = {damage.object for damage in trial.open().check().damages}
    assert damaged == {*keys, config_key(9_999_999_999)}


def test_a_nested_key_is_no_generation(trial: TrialVault, make_snapshot: Any) -> None:
    old = make_snapshot()
    key = plant(trial, "validated", old.id, "zz/0000000009")
    newest = make_snapshot()
    assert trial.open().find("llama@validated") == newest
    assert trial.open().tags("llama")["validated"].target == newest.id
    assert key in {damage.object for damage in trial.open().check().damages}


def test_never_eleven_digits() -> None:
    store = MemoryStore()
    for generation in (1, 2, 9_999_999_999):
        store.create(f"refs/a/b/{generation:010d}", b"x")
    assert highest_generation(store, "refs/a/b/") == 2
    assert append_generation(store, "refs/a/b/", lambda generation: b"%d" % generation) == 3
    assert series_at(store, "refs/a/b/").leap_keys == ["refs/a/b/9999999999"]


def test_who_is_overtaken_by_a_leap_does_not_think_that_he_moved_it() -> None:
    """It was too high when it was planted, and counts since there is one generation more."""
    store = MemoryStore()
    store.create("refs/a/b/0001000003", b"waits")
    asked = []

    def make(generation: int) -> bytes:
        asked.append(generation)
        return b"%d" % generation

    assert append_generation(store, "refs/a/b/", make) == 1
    assert append_generation(store, "refs/a/b/", make) == 1_000_004
    assert asked == [1, 2, 1_000_004]
    with pytest.raises(ConflictError):
        append_generation(_Leaping(), "refs/a/b/", lambda generation: b"%d" % generation)


class _Leaping(MemoryStore):
    """Somebody leaps ahead of every generation that is written."""

    def create(self, key: str, data: Any) -> Any:
        info = super().create(key, data)
        super().create(f"{key[:-10]}{int(key[-10:]) + 5:010d}", b"leap")
        return info


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(5000)], ids=["empty", "short", "zeros"])
def test_junk_above_the_others_is_passed_over(trial: TrialVault, make_snapshot: Any, junk: bytes) -> None:
    root = make_snapshot()
    handle = trial.open().handle
    keys = []
    for name in ("latest", "validated"):
        prefix = handle.keys.names.ref_prefix("llama", name)
        keys.append(f"{prefix}{highest_generation(trial.store, prefix) + 1:010d}")
        trial.store.create(keys[-1], junk)
    notes = NoteTaker()
    vault = trial.open(progress=notes)
    assert vault.find("llama") == vault.find("llama@validated") == root
    assert all(any(key in note for note in notes.notes) for key in keys)
    assert vault.tags("llama").keys() == {"latest", "validated"}
    assert len(read_history(handle, "llama", "latest")) == 1
    assert set(keys) == {damage.object for damage in trial.open().check().damages}
    newest = make_snapshot()
    assert trial.open().find("llama@validated") == newest


def test_only_junk_is_damage_and_not_nothing(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    prefix = trial.open().handle.keys.names.ref_prefix("llama", "release")
    trial.store.create(prefix + "0000000001", b"junk")
    with pytest.raises(DamageError, match=prefix):
        trial.open().find("llama@release")


def test_a_pointer_to_a_snapshot_that_is_not_there(trial: TrialVault, make_snapshot: Any) -> None:
    first, second = make_snapshot(), make_snapshot()
    handle = trial.open().handle
    gone = handle.keys.names.snapshot_key("llama", second.id)
    trial.store.delete(gone)
    notes = NoteTaker()
    vault = trial.open(progress=notes)
    assert vault.find("llama") == vault.find("llama@validated") == first
    assert any(gone in note for note in notes.notes)
    assert [damage.object for damage in trial.open().check().damages] == [gone]
    trial.store.delete(handle.keys.names.snapshot_key("llama", first.id))
    with pytest.raises((DamageError, NotFoundError)):
        trial.open().find("llama")
