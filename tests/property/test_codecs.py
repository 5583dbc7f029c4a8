"""What holds for the codecs whatever the bytes: nothing is lost, and nothing that is not a chunk does harm."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.errors import DamageError
from holdfast.vault.codecs import MAX_RAW_LENGTH, Codec, decode, encode
from holdfast.vault.codecs.frames import Effort, compress
from holdfast.vault.codecs.payload import METHOD_RAW, METHOD_ZSTD
from holdfast.vault.codecs.planes import Base, split
from holdfast.vault.regions.model import DTYPES, OPAQUE, Element, Kind
from holdfast.vault.scratch import unsigned_dtype

QUICK = settings(max_examples=200, deadline=None)

elements = st.sampled_from(sorted({*DTYPES.values(), OPAQUE, Element(Kind.HOLE, 1)}))
numbers = st.sampled_from(sorted(set(DTYPES.values())))
lengths = st.one_of(st.integers(0, 70), st.integers(0, 6000), st.sampled_from([65535, 65536, 65537, 263_001]))
FLOAT32_BITS = [0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF, 0x80000000, 0, 1, 0x807FFFFF, 0x00800000, 0x3F800000]


@st.composite
def contents(draw: st.DrawFn, length: int) -> bytes:
    """Bytes as tensors have them: noise, one value, special floats, weights, values with few changes; then spoilt."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    match draw(st.integers(0, 5)):
        case 0:
            data = rng.bytes(length)
        case 1:
            data = (draw(st.binary(min_size=1, max_size=8)) * (length + 1))[:length]
        case 2:
            data = rng.choice(np.array(FLOAT32_BITS, np.uint32), length // 4 + 1).tobytes()[:length]
        case 3:
            data = rng.standard_normal(length // 4 + 1).astype("<f4").tobytes()[:length]
        case 4:
            data = rng.standard_normal(length // 8 + 1).tobytes()[:length]
        case _:
            data = (
                (rng.standard_normal(length // 2 + 1).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()[:length]
            )
    spoilt = bytearray(data)
    for _ in range(draw(st.integers(0, 3)) if length else 0):
        spoilt[draw(st.integers(0, length - 1))] = draw(st.integers(0, 255))
    return bytes(spoilt)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[bytes, bytes | None]:
    """A chunk and perhaps a base: something else, the same, or the same but for small steps of some elements."""
    length = draw(lengths)
    data = draw(contents(length))
    match draw(st.integers(0, 4)):
        case 0:
            return data, None
        case 1:
            return data, draw(contents(draw(lengths)))
        case 2:
            return data, draw(contents(length))
        case 3:
            return data, data
        case _:
            width = draw(st.sampled_from([1, 2, 4, 8]))
            base = np.frombuffer(data, f"<u{width}", count=length // width).copy()
            base += np.random.default_rng(length).integers(0, draw(st.integers(1, 100)), base.size).astype(base.dtype)
            return data, base.tobytes() + data[base.nbytes :]


@given(chunks(), elements)
@QUICK
def test_what_is_encoded_decodes_to_the_same(chunk: tuple[bytes, bytes | None], element: Element) -> None:
    data, base = chunk
    encoded = encode(data, element, base)
    assert len(encoded.payload) <= len(data)
    assert decode(encoded.codec, element, encoded.payload, len(data), base) == data
    assert encode(data, element, base) == encoded


def stored_as(efforts: list[Effort | None], data: bytes, element: Element, base: bytes | None) -> bytes:
    """The payload of PLANES, or of DELTA where there is a base, with the methods that are asked for."""
    count = len(data) // element.width

    def bits(buffer: bytes) -> np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]:
        return np.frombuffer(buffer, unsigned_dtype(element.width), count=count)

    planes = list(np.empty((element.width, count), np.uint8))
    split(bits(data), None if base is None else Base(bits(base), element.kind is Kind.FLOAT), planes)
    entries, stored = b"", b""
    for plane, effort in zip(planes, efforts, strict=False):
        frame = None if effort is None or count == 0 else compress(plane.data, effort)
        content = plane.tobytes() if frame is None else frame
        entries += struct.pack("<BI", METHOD_RAW if frame is None else METHOD_ZSTD, len(content))
        stored += content
    return entries + stored + data[count * element.width :]


efforts = st.lists(st.sampled_from([None, *Effort]), min_size=8, max_size=8)


@given(st.data(), numbers, efforts)
@QUICK
def test_planes_and_deltas_decode_however_they_were_stored(
    draws: st.DataObject, element: Element, how: list[Effort | None]
) -> None:
    length = draws.draw(lengths)
    data, base = draws.draw(contents(length)), draws.draw(contents(length))
    planes = stored_as(how, data, element, None)
    assert decode(Codec.PLANES, element, planes, length) == data
    delta = stored_as(how, data, element, base)
    assert decode(Codec.DELTA, element, delta, length, base) == data


def decode_or_refuse(codec: int, element: Element, payload: bytes, raw_length: int, base: bytes | None) -> None:
    try:
        data = decode(codec, element, payload, raw_length, base)
    except DamageError:
        return
    assert len(data) == raw_length


@given(st.data(), numbers, efforts, st.sampled_from([Codec.ZSTD, Codec.PLANES, Codec.DELTA]))
@settings(QUICK, max_examples=400)
def test_damaged_payloads_are_refused_or_give_as_many_bytes(
    draws: st.DataObject, element: Element, how: list[Effort | None], codec: Codec
) -> None:
    length = draws.draw(st.integers(1, 3000))
    data, base = draws.draw(contents(length)), draws.draw(contents(length))
    if codec is Codec.ZSTD:
        payload = bytearray(compress(data, how[0] or Effort.FAST))
    else:
        payload = bytearray(stored_as(how, data, element, base if codec is Codec.DELTA else None))
    for _ in range(draws.draw(st.integers(1, 4))):
        # Headers are where damage could do harm: half of all places lie in the first bytes.
        places = st.one_of(st.integers(0, max(0, len(payload) - 1)), st.integers(0, min(len(payload), 48)))
        place = draws.draw(places)
        match draws.draw(st.integers(0, 3)):
            case 0:
                del payload[place:]
            case 1:
                payload[place:place] = draws.draw(st.binary(max_size=12))
            case 2:
                del payload[place : place + draws.draw(st.integers(1, 8))]
            case _:
                payload[place : place + 1] = draws.draw(st.binary(min_size=1, max_size=1))
    decode_or_refuse(codec, element, bytes(payload), length, base)
    other = draws.draw(st.integers(0, 2 * length))
    decode_or_refuse(codec, element, bytes(payload), other, base[:other])


@given(
    st.integers(0, 4),
    elements,
    st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail)),
    st.one_of(st.integers(0, 300), st.integers(-5, 2 * MAX_RAW_LENGTH)),
    st.none() | st.binary(max_size=300),
)
@example(1, OPAQUE, bytes.fromhex("28b52ffd a0 00000004 000000"), MAX_RAW_LENGTH, None)
@settings(QUICK, max_examples=400)
def test_payloads_from_nowhere_are_refused_or_give_as_many_bytes(
    codec: int, element: Element, payload: bytes, raw_length: int, base: bytes | None
) -> None:
    decode_or_refuse(codec, element, payload, raw_length, base)


@given(st.data(), numbers)
@QUICK
def test_forged_plane_entries_are_refused(draws: st.DataObject, element: Element) -> None:
    length = draws.draw(st.integers(0, 500))
    entries = draws.draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.one_of(st.integers(0, 600), st.integers(0, (1 << 32) - 1))),
            min_size=element.width,
            max_size=element.width,
        )
    )
    honest = (METHOD_RAW, length // element.width)
    payload = b"".join(struct.pack("<BI", *entry) for entry in entries) + bytes(length)
    if all(entry == honest for entry in entries):
        assert decode(Codec.PLANES, element, payload, length) == bytes(length)
        return
    # Zeros are no zstd frame: whatever is not the one true list of entries cannot be read.
    try:
        decode(Codec.PLANES, element, payload, length)
    except DamageError:
        return
    raise AssertionError(f"{entries} were accepted")
