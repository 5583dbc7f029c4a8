"""The bytes of shards, as docs/format/stripes.md gives them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from blake3 import blake3

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.replication.striping.layout import Layout, layout_key, parse_layout
from holdfast.replication.striping.shards import (
    BLOCK,
    Cut,
    Shard,
    block_is_sound,
    make_shards,
    parse_shard,
    parse_shard_key,
    parse_table,
)

PAGE = Path(__file__).parents[3] / "docs/format/stripes.md"
SIZES = (0, 1, 63, 64, 65, 127, 128, 129, 191, 5000, 2 * BLOCK - 1, 2 * BLOCK, 4 * BLOCK + 77)


def shards_of(data: bytes, k: int, n: int) -> dict[int, tuple[Shard, bytes]]:
    pack, cut = blake3(data).hexdigest(), Cut(k, n, len(data))
    made = make_shards(pack, data, k, n, range(n))
    return {number: (Shard(pack, cut, number), b"".join(buffers)) for number, buffers in made.items()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 6)])
def test_the_data_shards_are_the_pack(size: int, k: int, n: int) -> None:
    data = blake3(size.to_bytes(8, "little")).digest(size)
    made = shards_of(data, k, n)
    assert b"".join(parse_shard(*made[number]) for number in range(k)) == data
    for number, (shard, content) in made.items():
        assert len(content) == shard.cut.shard_bytes(number)
        assert parse_shard_key(shard.key) == shard


def test_all_bytes_of_the_example() -> None:
    """The example of the page: what is written here, byte for byte, and nothing else."""
    blocks = re.findall(r"```shard (\d)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [int(number) for number, _ in blocks] == [0, 1, 2]
    data = bytes(range(100))
    made = shards_of(data, 2, 3)
    for number, text in blocks:
        content = b"".join(_bytes_of(line) for line in text.splitlines())
        assert content == made[int(number)][1], f"shard {number}"
    assert made[2][0].key in PAGE.read_text()


def _bytes_of(line: str) -> bytes:
    return bytes.fromhex(re.split(r"\s{2,}", line)[0])


def test_damage_at_every_byte_is_found() -> None:
    for shard, content in shards_of(bytes(range(200)), 2, 3).values():
        for at in range(len(content)):
            damaged = bytearray(content)
            damaged[at] ^= 1
            with pytest.raises(DamageError):
                parse_shard(shard, damaged)
        for end in (0, 1, 63, 64, 80, len(content) - 1):
            with pytest.raises(DamageError):
                parse_shard(shard, content[:end])
        with pytest.raises(DamageError):
            parse_shard(shard, content + b"x")


def test_damage_of_a_block_is_found_without_the_others() -> None:
    shard, content = shards_of(blake3(b"").digest(4 * BLOCK), 2, 3)[1]
    at = shard.cut.payload_at(1)
    table = parse_table(shard, content[:at])
    blocks = [content[at : at + BLOCK], content[at + BLOCK : at + 2 * BLOCK]]
    assert block_is_sound(table, 0, blocks[0]) and block_is_sound(table, 1, blocks[1])
    assert not block_is_sound(table, 0, blocks[1])
    assert not block_is_sound(table, 1, blocks[1][:-1])
    assert not block_is_sound(table, 7, blocks[0])


def test_a_shard_of_another_pack_place_or_version_is_refused() -> None:
    made, other = shards_of(bytes(200), 2, 3), shards_of(bytes([1]) * 200, 2, 3)
    with pytest.raises(DamageError, match="another shard"):
        parse_shard(made[0][0], other[0][1])
    with pytest.raises(DamageError, match="another shard"):
        parse_shard(made[1][0], made[0][1])
    newer = bytearray(made[0][1])
    newer[8] = 2
    with pytest.raises(UnsupportedFormatError):
        parse_shard(made[0][0], newer)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-1-2-3-0",
        "-01-2-3-0",
        "-1-2-3-3",
        "-1-1-2-0",
        "-1-2-6-0",
        "-1-2-3-00",
        "-9999999999-2-3-0",
        "-1-2-3-0x",
        "-1-2-3",
        "-1-32-33-0",
    ],
)
def test_names_that_are_none(name: str) -> None:
    pack = "ab" * 32
    found = parse_shard_key(f"shards/ab/{pack}{name}")
    assert (found is None) == (name != "-1-2-3-0")
    assert parse_shard_key(f"shards/cd/{pack}-1-2-3-0") is None


def test_layouts() -> None:
    layout = Layout(1, "0f" * 16, 3, 2, 3, 1, 0, 2, 1_700_000_000_000_000_000, "site 1 was lost")
    key = layout_key(3)
    assert parse_layout(layout.to_bytes(), key) == layout
    text = layout.to_bytes().decode()
    for wrong in (
        text.replace('"k":2', '"k":3'),
        text.replace('"home":0', '"home":3'),
        text.replace('"position":2', '"position":-1'),
        text.replace('"spares":1', '"spares":2'),
        text.replace('"generation":3', '"generation":4'),
        text.replace("0f0f", "0F0f"),
        text.replace('"reason"', '"why"'),
        text.replace("{", '{"more":1,'),
        text[:-3],
        "[]",
        "",
        text + " " * (16 << 10),
    ):
        assert wrong != text
        with pytest.raises(DamageError):
            parse_layout(wrong.encode(), key)
    with pytest.raises(UnsupportedFormatError):
        parse_layout(text.replace('"stripes":1', '"stripes":2,"new":1').encode(), key)
