"""Where chunks lie, when they lie in several packs, and when packs come and go."""

from __future__ import annotations

import pytest

from holdfast.errors import DamageError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.records import PackTable
from holdfast.vault.index import ChunkIndex, pack_of_key

NO_BASE = ChunkId(b"")
A, B, C = (ChunkId(bytes([number]) * 32) for number in (1, 2, 3))
FIRST, SECOND, THIRD = (PackId(letter * 64) for letter in "abc")


def table(*chunks: ChunkId, base: ChunkId = NO_BASE) -> PackTable:
    """Raw chunks of 100 bytes; the last one a delta if there is a base."""
    count = len(chunks)
    return PackTable(
        ids=b"".join(chunks),
        stored=(116).to_bytes(4, "little") * count,
        raw=(100).to_bytes(4, "little") * count,
        codec=bytes(count - 1) + (b"\3" if base else b"\0"),
        kind=b"\2" * count,
        width=b"\4" * count,
        based=(count - 1).to_bytes(4, "little") if base else b"",
        bases=base,
    )


def packs_of(index: ChunkIndex, chunk: ChunkId) -> list[PackId]:
    return [located.pack for located in index.places(chunk)]


def test_offsets_follow_from_stored_lengths() -> None:
    index = ChunkIndex(0)
    index.add(FIRST, 1000, table(A, B, base=C))
    located = index.find(B)
    assert located is not None and located.place.offset == 32 + 116 and located.pack_size == 1000
    assert (located.place.base, located.place.codec) == (C, 3)
    assert index.find(C) is None and len(index) == 2


def test_a_chunk_in_several_packs_is_found_while_one_of_them_is_left() -> None:
    index = ChunkIndex(0)
    index.add(FIRST, 1000, table(A, B))
    index.add(SECOND, 2000, table(B, C))
    index.add(THIRD, 3000, table(B))
    assert packs_of(index, B) == [FIRST, SECOND, THIRD]
    index.forget_pack(FIRST)
    assert packs_of(index, A) == [] and packs_of(index, B) == [SECOND, THIRD]
    index.forget_pack(THIRD)
    found = index.find(B)
    assert found is not None and found.pack == SECOND
    index.forget_pack(SECOND)
    assert len(index) == 0 and index.packs() == {}


def test_the_same_pack_from_two_indexes_counts_once() -> None:
    index = ChunkIndex(0)
    index.add(FIRST, 1000, table(A))
    index.add(FIRST, 1000, table(A))
    assert packs_of(index, A) == [FIRST]
    index.forget_pack(FIRST)
    index.forget_pack(FIRST)
    assert index.find(A) is None


def test_a_chunk_twice_in_one_pack_is_damage() -> None:
    index = ChunkIndex(0)
    with pytest.raises(DamageError, match="twice"):
        index.add(FIRST, 1000, table(A, A))
    assert index.find(A) is None


def test_a_forgotten_pack_that_is_written_again_is_known_again() -> None:
    index = ChunkIndex(0)
    index.add(FIRST, 1000, table(A))
    index.forget_pack(FIRST)
    index.add(FIRST, 1000, table(A))
    assert packs_of(index, A) == [FIRST]


@pytest.mark.parametrize(
    "change",
    [
        {"ids": bytes(33)},
        {"stored": b"\0" * 3},
        {"raw": b""},
        {"codec": b"\4\0"},
        {"codec": b"\3\0"},
        {"kind": b"\7\2"},
        {"width": b"\3\4"},
        {"raw": (65 << 20).to_bytes(4, "little") * 2},
        {"based": b"\0\0\0\0"},
        {"based": b"\0" * 5, "bases": bytes(32)},
        {"based": b"\0\0\0\0" * 2, "bases": bytes(64), "codec": b"\3\0"},
        {"based": b"\5\0\0\0", "bases": bytes(32), "codec": b"\3\0"},
        {"based": b"\0\0\0\0", "bases": A, "codec": b"\3\0"},
        {"stored": bytes(8)},
        {"stored": (15).to_bytes(4, "little") * 2},
        {"stored": (1 << 30).to_bytes(4, "little") * 2},
        {"ids": A + A},
    ],
    ids=repr,
)
def test_a_table_that_contradicts_itself_is_damage(change: dict[str, bytes]) -> None:
    import msgspec

    with pytest.raises(DamageError, match="packs/x"):
        places_of(msgspec.structs.replace(table(A, B), **change), 0, "packs/x")


def test_places_beyond_the_pack_are_damage() -> None:
    fitting = 32 + 2 * 116 + 16 + 16
    assert len(places_of(table(A, B), 0, "packs/x", fitting)) == 2
    with pytest.raises(DamageError, match="not in it"):
        places_of(table(A, B), 0, "packs/x", fitting - 1)


def test_a_footer_is_believed_before_an_index_and_two_indexes_that_differ_not_at_all() -> None:
    index = ChunkIndex(0)
    index.add(FIRST, 1000, table(A), signer="aa")
    assert index.signer_of(FIRST) == "aa"
    index.add(FIRST, 1000, table(B), signer="bb")
    assert index.find(A) is None and index.find(B) is None and index.packs() == {}
    index.add(FIRST, 1000, table(A), signer="aa")
    assert index.find(A) is None, "a pack in dispute is settled by its footer alone"
    index.add(FIRST, 1000, table(C))
    assert packs_of(index, C) == [FIRST] and index.signer_of(FIRST) == ""
    index.add(FIRST, 1000, table(A), signer="aa")
    assert packs_of(index, C) == [FIRST] and index.find(A) is None
    index.add(SECOND, 1000, table(A), signer="aa")
    index.add(SECOND, 1000, table(B, C))
    assert packs_of(index, C) == [FIRST, SECOND] and index.find(A) is None


@pytest.mark.parametrize(
    "key", ["packs/aa/" + "a" * 63, "packs/ab/" + "a" * 64, "packs/aa/" + "A" * 64, "a" * 64, "packs/"]
)
def test_names_that_are_no_pack(key: str) -> None:
    assert pack_of_key(key) is None
    assert pack_of_key(pack_key(FIRST)) == FIRST
