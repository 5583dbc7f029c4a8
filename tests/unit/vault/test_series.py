"""Series of generations: nothing is overwritten, races are noticed, answers may be lost."""

from __future__ import annotations

import pytest

from holdfast.errors import AlreadyExistsError, ConflictError, StoreUnreachableError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.faults import Faults
from holdfast.vault.format.series import append_generation, create_once, highest_generation


def test_generations_count_up_from_one() -> None:
    store = MemoryStore()
    assert highest_generation(store, "refs/a/") == 0
    made = [append_generation(store, "refs/a/", lambda generation: b"%d" % generation) for _ in range(11)]
    assert made == list(range(1, 12))
    assert contents_of(store)["refs/a/0000000011"] == b"11"


def test_other_names_are_none_of_its_business() -> None:
    store = MemoryStore()
    for name in ("refs/a/0000000007.bak", "refs/a/7", "refs/a/0000000000", "refs/a/b/0000000009", "refs/ab/0000000008"):
        store.put(name, b"")
    assert highest_generation(store, "refs/a/") == 0
    assert append_generation(store, "refs/a/", lambda generation: b"x") == 1


def test_the_loser_of_a_race_looks_again() -> None:
    store = MemoryStore()
    seen = []

    def make(generation: int) -> bytes:
        seen.append(generation)
        if generation == 1:
            store.create("refs/a/0000000001", b"somebody else's")
        return b"mine"

    assert append_generation(store, "refs/a/", make) == 2
    assert seen == [1, 2] and store.get("refs/a/0000000001") == b"somebody else's"


def test_making_nothing_writes_nothing() -> None:
    store = MemoryStore()
    assert append_generation(store, "refs/a/", lambda generation: None) == 0
    assert contents_of(store) == {}


def test_losing_for_ever_is_a_conflict() -> None:
    store = MemoryStore()

    def make(generation: int) -> bytes:
        store.create(f"refs/a/{generation:010d}", b"always faster")
        return b"mine"

    with pytest.raises(ConflictError) as caught:
        append_generation(store, "refs/a/", make)
    assert caught.value.retry


def test_a_create_whose_answer_was_lost_is_known_again() -> None:
    store = MemoryStore()
    unlucky = FaultyStore(store, Faults().lose_answer("create", at=1))
    with pytest.raises(StoreUnreachableError):
        create_once(unlucky, "config/1", b"mine")
    assert create_once(unlucky, "config/1", b"mine") is True
    assert create_once(unlucky, "config/1", b"another's") is False
    with pytest.raises(AlreadyExistsError):
        store.create("config/1", b"mine")
