"""Tables of packs as the index keeps them: accepted, found again and refused exactly as `places_of` does."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_tables import PACK_BYTES, make_table

from holdfast.errors import DamageError
from holdfast.ids import ChunkId
from holdfast.vault.format.packs import ChunkPlace, places_of
from holdfast.vault.format.records import PackTable
from holdfast.vault.index.columns import BLOCK_CHUNKS, check_table, prefix_of, read_record, table_of

NAME = "packs/x"


def random_table(count: int, seed: int) -> PackTable:
    random = Random(seed)
    ids = [ChunkId(random.randbytes(32)) for _ in range(count)]
    bases = {number: ChunkId(random.randbytes(32)) for number in range(count) if random.random() < 0.3}
    return make_table(ids, bases=bases, stored=random.randrange(16, 90))


def stored_places(table: PackTable) -> list[tuple[ChunkId, ChunkPlace]]:
    """What is read back out of the blocks, chunk by chunk."""
    blocks = list(check_table(table, 0, NAME, PACK_BYTES).blocks())
    found = []
    for number in range(len(table.codec)):
        chunk = ChunkId(table.ids[32 * number : 32 * number + 32])
        place = read_record(blocks[number // BLOCK_CHUNKS], number, chunk)
        assert place is not None
        found.append((chunk, place))
    return found


@given(st.integers(0, 3 * BLOCK_CHUNKS), st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_whatever_goes_in_comes_out(count: int, seed: int) -> None:
    table = random_table(count, seed)
    columns = check_table(table, 0, NAME, PACK_BYTES)
    assert stored_places(table) == places_of(table, 0, NAME, PACK_BYTES)
    assert table_of(list(columns.blocks()), count) == table
    assert columns.prefixes().tolist() == [prefix_of(chunk) for chunk, _ in places_of(table, 0, NAME)]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_what_the_format_refuses_is_refused(data: st.DataObject) -> None:
    table = random_table(data.draw(st.integers(1, 20)), data.draw(st.integers(0, 50)))
    column = data.draw(st.sampled_from(PackTable.__struct_fields__))
    value = bytearray(getattr(table, column))
    for _ in range(data.draw(st.integers(1, 2))):
        change = data.draw(st.sampled_from(["byte", "cut", "longer", "again", "swap"]))
        if change == "byte" and value:
            value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
        elif change == "cut" and value:
            del value[-data.draw(st.integers(1, min(32, len(value)))) :]
        elif change == "longer":
            value += bytes(data.draw(st.integers(1, 33)))
        elif change == "again":
            value[-32:] = value[:32]
        elif change == "swap":
            value[:4], value[4:8] = value[4:8], value[:4]
    altered = msgspec.structs.replace(table, **{column: bytes(value)})
    size = data.draw(st.sampled_from([0, 1000, 2500, PACK_BYTES]))
    try:
        expected = places_of(altered, 0, NAME, size)
    except DamageError as error:
        with pytest.raises(DamageError) as caught:
            check_table(altered, 0, NAME, size)
        assert caught.value.object_name == error.object_name == NAME
    else:
        check_table(altered, 0, NAME, size)
        assert stored_places(altered) == expected if size == PACK_BYTES else True


@pytest.mark.parametrize("size", [-1, (1 << 30) + 1, 1 << 80])
def test_no_pack_has_that_size(size: int) -> None:
    with pytest.raises(DamageError, match="not in it"):
        check_table(random_table(1, 0), 0, NAME, size)


def test_deltas_in_any_order_are_the_same_table() -> None:
    ids = [ChunkId(bytes([number]) * 32) for number in range(5)]
    table = make_table(ids, bases={1: ChunkId(b"a" * 32), 3: ChunkId(b"b" * 32)})
    swapped = msgspec.structs.replace(
        table, based=table.based[4:] + table.based[:4], bases=table.bases[32:] + table.bases[:32]
    )
    one, other = (check_table(each, 0, NAME, PACK_BYTES) for each in (table, swapped))
    assert one.digest == other.digest and list(one.blocks()) == list(other.blocks())


def test_the_digest_tells_tables_and_sizes_apart() -> None:
    tables = [random_table(3, seed) for seed in range(2)]
    digests = {check_table(each, 0, NAME, size).digest for each in tables for size in (PACK_BYTES, PACK_BYTES + 1)}
    assert len(digests) == 4


def test_a_block_that_rotted_is_none() -> None:
    table = random_table(BLOCK_CHUNKS + 3, 5)
    blocks = list(check_table(table, 0, NAME, PACK_BYTES).blocks())
    chunk = ChunkId(table.ids[:32])
    assert read_record(blocks[0], 0, chunk) is not None
    for at in range(len(blocks[0])):
        rotten = bytearray(blocks[0])
        rotten[at] ^= 1
        assert read_record(bytes(rotten), 0, chunk) is None
        assert table_of([bytes(rotten), blocks[1]], len(table.codec)) is None
    for cut in (b"", blocks[0][:3], blocks[0][:48], blocks[0][:-1]):
        assert read_record(cut, 0, chunk) is None
    assert table_of(blocks[:1], len(table.codec)) is None
    assert read_record(blocks[0], 1, chunk) is None
