"""`docs/format/codecs.md` is checked against the code, and against a slow decoder written from that page alone."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest
import zstandard

from holdfast.errors import DamageError
from holdfast.vault.codecs import decode, encode
from holdfast.vault.regions.model import Element, Kind

PAGE = Path(__file__).parents[3] / "docs/format/codecs.md"
KINDS = {"opaque": Kind.OPAQUE, "integer": Kind.INT, "float": Kind.FLOAT}


def blocks(language: str) -> list[dict[str, str]]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in found]


def element_of(block: dict[str, str]) -> Element:
    kind, width = block["element"].split()
    return Element(KINDS[kind], int(width))


def base_of(block: dict[str, str]) -> bytes | None:
    return bytes.fromhex(block["base"]) if "base" in block else None


VECTORS = blocks("vector")
REFUSED = blocks("refused")


def page_decode(codec: int, element: Element, payload: bytes, raw_length: int, base: bytes | None) -> bytes:
    """What the page says, in the page's order, one element at a time."""
    if codec == 0:
        return payload
    if codec == 1:
        return zstandard.ZstdDecompressor().decompress(payload)
    width = element.width
    count, tail_length = divmod(raw_length, width)
    position = 5 * width
    planes = []
    for plane in range(width):
        method, length = struct.unpack_from("<BI", payload, 5 * plane)
        stored = payload[position : position + length]
        planes.append(page_plane(method, stored, count))
        position += length
    elements = [int.from_bytes(bytes(plane[i] for plane in planes), "little") for i in range(count)]
    if codec == 3:
        assert base is not None
        olds = [int.from_bytes(base[width * i : width * (i + 1)], "little") for i in range(count)]
        elements = [page_undelta(z, b, element) for z, b in zip(elements, olds, strict=True)]
    assert len(payload) - position == tail_length
    return b"".join(x.to_bytes(width, "little") for x in elements) + payload[position:]


def page_plane(method: int, stored: bytes, count: int) -> bytes:
    unzstd = zstandard.ZstdDecompressor().decompress
    if method < 2:
        return unzstd(stored) if method else stored
    plane = bytearray(count)
    placed = struct.unpack_from("<I", stored)[0]
    if placed:
        first = struct.unpack_from("<I", stored, 4)[0]
        gaps, values = unzstd(stored[8 : 8 + first]), list(unzstd(stored[8 + first :]))
        assert len(values) == placed
        position = 0
        for gap in gaps:
            position += gap
            if gap != 255:
                plane[position] = values.pop(0)
                position += 1
    return bytes(plane)


def page_undelta(z: int, b: int, element: Element) -> int:
    bits = 8 * element.width

    def order(x: int) -> int:
        flips = element.kind is Kind.FLOAT and x >> (bits - 1)
        return x ^ (2 ** (bits - 1) - 1) if flips else x

    d = z // 2 if z % 2 == 0 else (z // 2) ^ (2**bits - 1)
    return order((d + order(b)) % 2**bits)


def test_the_page_has_examples_of_every_codec() -> None:
    assert {block["codec"] for block in VECTORS} == {"0", "1", "2", "3"}
    assert len(REFUSED) >= 16


@pytest.mark.parametrize("block", VECTORS, ids=lambda block: f"codec {block['codec']} {block['element']}")
def test_examples_of_the_page(block: dict[str, str]) -> None:
    raw, payload = bytes.fromhex(block["raw"]), bytes.fromhex(block["payload"])
    element, base = element_of(block), base_of(block)
    assert decode(int(block["codec"]), element, payload, len(raw), base) == raw
    assert page_decode(int(block["codec"]), element, payload, len(raw), base) == raw


@pytest.mark.parametrize("block", REFUSED, ids=lambda block: block["reason"])
def test_what_the_page_refuses_is_refused(block: dict[str, str]) -> None:
    with pytest.raises(DamageError):
        decode(
            int(block["codec"]),
            element_of(block),
            bytes.fromhex(block["payload"]),
            int(block["raw length"]),
            base_of(block),
        )


@pytest.mark.parametrize("kind", [Kind.INT, Kind.FLOAT])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("with_base", [False, True])
def test_what_the_encoder_writes_reads_as_the_page_says(kind: Kind, width: int, with_base: bool) -> None:
    rng = random.Random(width)
    bits = 8 * width
    olds = [rng.getrandbits(bits) for _ in range(2000)]
    # Near the base with most high bytes unchanged, wrapping where it must; without a base, with few high bytes.
    news = [(x + rng.randrange(-40, 40)) % 2**bits if with_base else rng.getrandbits(bits) >> bits // 2 for x in olds]
    base = b"".join(x.to_bytes(width, "little") for x in olds) + b"-"
    raw = b"".join(x.to_bytes(width, "little") for x in news) + b"+"
    element = Element(kind, width)
    encoded = encode(raw, element, base if with_base else None)
    assert encoded.codec == (3 if with_base else 2)
    assert page_decode(encoded.codec, element, bytes(encoded.payload), len(raw), base) == raw
