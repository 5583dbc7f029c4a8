"""Reading packs from a nearer store: what that lacks, gives wrongly or not at all comes from the store itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from holdfast.errors import DamageError, ObjectNotFoundError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.metering import metering
from holdfast.stores.near import NearStore
from holdfast.stores.protocol import ObjectInfo, store_identity
from holdfast.testing.faults import Faults

PACK, OTHER, ROOT = "packs/aa/one", "packs/aa/two", "snapshots/x"


class Both:
    """An origin with two packs and a root; a near store with the first pack. `proofs`: packs that had to prove."""

    def __init__(self) -> None:
        self.origin, self.near = MemoryStore(name="origin"), MemoryStore(name="near")
        for key in (PACK, OTHER, ROOT):
            self.origin.put(key, b"0123456789")
        self.near.put(PACK, b"0123456789")
        self.faults = Faults()
        self.proofs: list[str] = []
        self.notes: list[str] = []
        self.store = NearStore(
            self.origin, FaultyStore(self.near, self.faults), "packs/", self._prove, self.notes.append
        )

    def _prove(self, key: str) -> None:
        self.proofs.append(key)
        if self.near.get(key) != b"0123456789":
            raise DamageError(f"{key} is damaged")

    def read(self, key: str, *ranges: tuple[int, int]) -> dict[str, int]:
        """Which store gave how many bytes; the content is compared."""
        with metering() as meter:
            assert self.store.get_ranges(key, ranges) == [b"0123456789"[start : start + size] for start, size in ranges]
        return {url.removeprefix("memory://"): one.bytes for url, one in meter.given().items() if one.bytes}


@pytest.fixture
def both() -> Both:
    return Both()


def test_packs_that_are_near_are_read_there_and_everything_else_at_the_store(both: Both) -> None:
    assert both.read(PACK, (0, 3), (5, 2)) == {"near": 5}
    assert both.read(OTHER, (0, 3)) == {"origin": 3}
    assert both.read(ROOT, (0, 3)) == {"origin": 3}
    assert both.store.get(PACK) == b"0123456789"
    assert (both.store.taken, store_identity(both.store)) == (5, store_identity(both.origin))
    both.store.put("packs/aa/new", b"x")
    both.store.delete(OTHER)
    assert [one.key for one in both.store.list("")] == ["packs/aa/new", PACK, ROOT]
    assert [one.key for one in both.near.list("")] == [PACK]
    assert len(both.notes) == 1


def test_a_range_that_is_asked_for_twice_makes_the_pack_prove_itself_once(both: Both) -> None:
    both.read(PACK, (0, 3))
    both.read(PACK, (3, 3))
    assert both.proofs == []
    for _ in range(3):
        assert both.read(PACK, (2, 2)) == {"near": 2}
    assert both.proofs == [PACK]


def test_a_pack_that_is_wrong_is_read_at_the_store_from_then_on(both: Both) -> None:
    both.near.put(PACK, b"0123x56789")
    assert both.store.get_ranges(PACK, [(3, 3)]) == [b"3x5"]  # whoever decodes it asks again
    assert both.read(PACK, (3, 3)) == {"origin": 3}
    assert both.read(PACK, (0, 1)) == {"origin": 1}
    assert any("is not used" in note for note in both.notes)


def test_what_is_evicted_meanwhile_and_a_store_that_falls_silent(both: Both) -> None:
    both.read(PACK, (0, 1))
    both.near.delete(PACK)
    assert both.read(PACK, (1, 1)) == {"origin": 1}
    again = Both()
    again.read(PACK, (0, 1))
    again.faults.fail("*")
    assert again.read(PACK, (1, 1)) == {"origin": 1}
    assert any("not asked any more" in note for note in again.notes)
    silent = Both()
    silent.faults.fail("*")
    assert silent.read(PACK, (0, 1)) == {"origin": 1}
    with pytest.raises(ObjectNotFoundError):
        silent.store.get_ranges("packs/aa/none", [(0, 1)])


class _Odd:
    """A near store whose answers to ranges are not what its objects hold."""

    def __init__(self, near: MemoryStore, answer: Callable[[list[bytes]], list[bytes]]) -> None:
        self._near, self._answer = near, answer
        self.url = near.url

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._near.list(prefix, after)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._answer(self._near.get_ranges(key, ranges))


def _broken(found: list[bytes]) -> list[bytes]:
    raise ValueError("a client that is no good")


@pytest.mark.parametrize(
    "answer", [lambda found: found[:-1], lambda found: [data[:-1] for data in found], lambda found: [], _broken]
)
def test_an_answer_of_another_size_and_a_client_that_breaks_are_not_used(
    both: Both, answer: Callable[[list[bytes]], list[bytes]]
) -> None:
    both.store.near = _Odd(both.near, answer)  # type: ignore[assignment]
    assert both.read(PACK, (0, 3), (5, 2)) == {"origin": 5}


def test_a_store_that_proves_a_pack_and_gives_other_bytes_of_it_is_given_up(both: Both) -> None:
    """Whoever cannot use what came a second time either says so."""
    assert not both.store.doubt()  # nothing came from there yet
    both.store.near = _Odd(both.near, lambda found: [bytes(len(data)) for data in found])  # type: ignore[assignment]
    assert [both.store.get_ranges(PACK, [(0, 3)]) for _ in range(2)] == [[bytes(3)]] * 2
    assert both.proofs == [PACK]
    assert both.store.doubt()
    assert both.read(PACK, (0, 3)) == {"origin": 3}
    assert both.store.doubt()  # another thread that got such bytes before asks again as well
    assert sum("could not be used" in note for note in both.notes) == 1
