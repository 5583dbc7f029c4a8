"""Which codec `encode` takes, and what it never does."""

from __future__ import annotations

import random
import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.errors import DamageError, UnsupportedFormatError, UsageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs import MAX_RAW_LENGTH, Codec, Encoded, decode, encode
from holdfast.vault.regions.model import BYTES, OPAQUE, Element, Kind
from holdfast.vault.scratch import BLOCK_ELEMENTS

FLOAT32 = Element(Kind.FLOAT, 4)
BFLOAT16 = Element(Kind.FLOAT, 2)
INT64 = Element(Kind.INT, 8)
WORDS = (Path(__file__).parents[3] / "docs/format/codecs.md").read_text("utf-8").split()
TEXT = " ".join(random.Random(0).choices(WORDS, k=60_000)).encode()


def weights(count: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype(np.float32)


def trained(values: NDArray[np.float32], seed: int = 1) -> NDArray[np.float32]:
    """A few optimizer steps later."""
    return values + (np.random.default_rng(seed).standard_normal(values.size) * 1e-5).astype(np.float32)


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def checked(data: bytes, element: Element, base: Buffer | None = None) -> Encoded:
    """Encode, after making sure that it can be undone."""
    encoded = encode(data, element, base)
    assert decode(encoded.codec, element, encoded.payload, len(data), base) == data
    return encoded


def share(encoded: Encoded, data: bytes) -> float:
    return len(encoded.payload) / len(data)


def test_noise_stays_as_it_is_and_is_not_copied() -> None:
    noise = np.random.default_rng(0).bytes(300_000)
    for element in (OPAQUE, BYTES, FLOAT32, INT64):
        encoded = checked(noise, element)
        assert encoded.codec is Codec.RAW
        assert encoded.payload is noise


def test_text_is_zstd() -> None:
    encoded = checked(TEXT, OPAQUE)
    assert encoded.codec is Codec.ZSTD
    assert share(encoded, TEXT) < 0.4


def test_text_that_a_parser_took_for_floats_is_zstd_all_the_same() -> None:
    assert checked(TEXT, FLOAT32).codec is Codec.ZSTD


@pytest.mark.parametrize(
    ("element", "data", "most"),
    [(FLOAT32, weights(300_000).tobytes(), 0.85), (BFLOAT16, bfloat16(weights(300_000)).tobytes(), 0.70)],
)
def test_weights_are_planes(element: Element, data: bytes, most: float) -> None:
    encoded = checked(data, element)
    assert encoded.codec is Codec.PLANES
    assert share(encoded, data) < most
    assert share(encoded, data) < share(checked(data, OPAQUE), data)


def test_weights_some_steps_later_are_a_delta() -> None:
    old = weights(300_000)
    new = trained(old)
    for element, base, data, most in (
        (FLOAT32, old.tobytes(), new.tobytes(), 0.75),
        (BFLOAT16, bfloat16(old).tobytes(), bfloat16(new).tobytes(), 0.35),
    ):
        encoded = checked(data, element, base)
        assert encoded.codec is Codec.DELTA
        assert share(encoded, data) < most


def test_a_base_that_does_not_help_is_left_alone() -> None:
    data, unrelated = weights(300_000).tobytes(), weights(300_000, seed=7).tobytes()
    assert checked(data, FLOAT32, unrelated) == checked(data, FLOAT32)


@pytest.mark.parametrize("cut", [1, 4])
def test_a_base_of_another_length_is_left_alone(cut: int) -> None:
    data = weights(50_000).tobytes()
    assert checked(data, FLOAT32, data[:-cut]).codec is Codec.PLANES


def test_an_unchanged_chunk_is_next_to_nothing_as_a_delta() -> None:
    data = weights(1 << 20).tobytes()
    encoded = checked(data, FLOAT32, data)
    assert encoded.codec is Codec.DELTA
    assert len(encoded.payload) < 1000


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_little_chunks_never_grow(width: int) -> None:
    for length in range(200):
        encoded = checked(bytes(length), Element(Kind.INT, width), bytes(length))
        assert encoded.codec is Codec.RAW or len(encoded.payload) <= 0.99 * length


def test_bytes_that_repeat_are_pressed_harder_than_symbol_by_symbol() -> None:
    assert share(checked(TEXT, BYTES), TEXT) < 0.4


def test_the_whole_chunk_is_sampled_not_its_beginning() -> None:
    noise = np.random.default_rng(0).bytes(400_000)
    for data in (noise + weights(900_000).tobytes(), weights(900_000).tobytes() + noise):
        assert share(checked(data, FLOAT32), data) < 0.87


def test_a_plane_that_only_the_sample_could_shrink_stays_raw() -> None:
    # The low bytes are noise but for the eight pieces that are looked at, 0.8 % of them.
    count = 1 << 22
    low = np.random.default_rng(0).integers(0, 256, count, np.uint16)
    for piece in range(8):
        start = (count - 4096) * piece // 7
        low[start : start + 4096] = 0
    data = (low + 0x3F00).tobytes()
    encoded = checked(data, BFLOAT16)
    assert encoded.codec is Codec.PLANES
    assert [method for method, _ in struct.iter_unpack("<BI", encoded.payload[:10])] == [0, 1]


def test_small_integers_cost_their_low_bytes_only() -> None:
    data = np.random.default_rng(0).integers(0, 50_000, 100_000, dtype=np.int64).tobytes()
    assert share(checked(data, INT64), data) < 0.27


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS + 1])
def test_blocks_meet_without_a_seam(width: int, count: int) -> None:
    rng = np.random.default_rng(count)
    old = rng.integers(0, 2**63, count, dtype=np.uint64)
    new = old + rng.integers(0, 3, count, dtype=np.uint64)
    base, data = old.astype(f"<u{width}").tobytes() + b"-", new.astype(f"<u{width}").tobytes() + b"+"
    for kind in (Kind.INT, Kind.FLOAT):
        assert checked(data, Element(kind, width), base).codec is Codec.DELTA
        checked(data, Element(kind, width))


def test_the_order_of_floats_survives_in_the_differences() -> None:
    # The base is +0, so what decodes to z = 0, 1, 2 … must run 0, −0, least positive, least negative, … in float16.
    z = np.arange(1 << 16, dtype="<u2")
    payload = struct.pack("<BIBI", 0, z.size, 0, z.size) + bytes(z.astype("u1")) + bytes((z >> 8).astype("u1"))
    halves = np.frombuffer(decode(Codec.DELTA, BFLOAT16, payload, 2 * z.size, bytes(2 * z.size)), "<f2")
    rising, falling = halves[0::2], halves[1::2]
    assert np.all(np.diff(rising[np.isfinite(rising)].astype(float)) > 0)
    assert np.all(np.diff(falling[np.isfinite(falling)].astype(float)) < 0)
    assert np.isfinite(rising).sum() == np.isfinite(falling).sum() == 31 * 1024


def test_every_kind_of_buffer_and_of_alignment_gives_the_same() -> None:
    old, new = weights(20_000), trained(weights(20_000))
    data, base = new.tobytes(), old.tobytes()
    expected = encode(data, FLOAT32, base)
    shifted = memoryview(b"?" + data)[1:]
    for buffer in (bytearray(data), memoryview(data), shifted, new.data):
        assert encode(buffer, FLOAT32, base) == expected
        assert encode(data, FLOAT32, memoryview(b"?" + base)[1:]) == expected
    for payload in (bytearray(expected.payload), memoryview(b"?" + bytes(expected.payload))[1:]):
        assert decode(expected.codec, FLOAT32, payload, len(data), memoryview(b"?" + base)[1:]) == data


def decoded_as(encoded: Encoded, job: tuple[bytes, Element, bytes | None]) -> bytes | bytearray:
    data, element, base = job
    return decode(encoded.codec, element, encoded.payload, len(data), base)


def test_threads_do_not_disturb_each_other() -> None:
    jobs: list[tuple[bytes, Element, bytes | None]] = []
    for seed in range(12):
        old = weights(40_000 + 1000 * seed, seed)
        jobs.append((trained(old, seed).tobytes(), FLOAT32 if seed % 3 else INT64, old.tobytes() if seed % 2 else None))
    alone = [encode(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: encode(*job), jobs * 4))
        decoded = list(pool.map(decoded_as, together, jobs * 4))
    assert together == alone * 4
    assert decoded == [job[0] for job in jobs] * 4


def test_a_result_outlives_the_next_call() -> None:
    first, second = weights(50_000).tobytes(), weights(50_000, seed=3).tobytes()
    encoded = encode(first, FLOAT32)
    before = bytes(encoded.payload)
    encode(second, FLOAT32)
    decode(encoded.codec, FLOAT32, encoded.payload, len(first))
    assert encoded.payload == before


@pytest.mark.parametrize("width", [0, 3, 16, -4])
def test_widths_that_are_none(width: int) -> None:
    with pytest.raises(UsageError):
        encode(b"12345678", Element(Kind.INT, width))
    for codec in (Codec.PLANES, Codec.DELTA):
        with pytest.raises(DamageError):
            decode(codec, Element(Kind.INT, width), b"12345678", 8, b"12345678")


def test_what_is_no_chunk() -> None:
    with pytest.raises(UsageError):
        encode(bytes(MAX_RAW_LENGTH + 1), OPAQUE)
    with pytest.raises(UsageError):
        encode(memoryview(b"12345678")[::2], OPAQUE)
    with pytest.raises(UsageError):
        encode(b"1234", BYTES, memoryview(b"12345678")[::2])


@pytest.mark.parametrize("raw_length", [-1, MAX_RAW_LENGTH + 1, 1 << 62])
def test_lengths_that_no_chunk_has(raw_length: int) -> None:
    for codec in Codec:
        with pytest.raises(DamageError):
            decode(codec, BYTES, b"", raw_length, b"")


def test_an_unknown_codec_is_of_a_newer_format() -> None:
    with pytest.raises(UnsupportedFormatError):
        decode(17, BYTES, b"x", 1)


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        (Codec.RAW, b"short"),
        (Codec.ZSTD, bytes.fromhex("28b52ffd 80 68 00000004 00 00 00")),  # a window of 8 MiB, a content of 64 MiB
        (Codec.ZSTD, bytes.fromhex("28b52ffd a0 00000004 00 00 00")),  # the same in a single segment
        (Codec.PLANES, struct.pack("<BIBI", 0, 0xFFFFFFFF, 0, 0xFFFFFFFF)),
        (Codec.PLANES, struct.pack("<BIBI", 1, 9, 1, 0xFFFFFFFF) + bytes.fromhex("28b52ffd 20 08 410000")),
        (Codec.DELTA, struct.pack("<BIBI", 1, 0, 1, 0)),
    ],
)
def test_forged_lengths_cost_no_memory_before_they_are_checked(codec: Codec, payload: bytes) -> None:
    base = bytes(MAX_RAW_LENGTH)
    tracemalloc.start()
    try:
        with pytest.raises(DamageError):
            decode(codec, BFLOAT16, payload, MAX_RAW_LENGTH - (codec is Codec.ZSTD), base)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_decoding_planes_takes_no_more_than_twice_the_chunk() -> None:
    zeros = bytes(8 << 20)
    encoded = encode(zeros, BFLOAT16)
    assert len(encoded.payload) < 4000
    decode(encoded.codec, BFLOAT16, encoded.payload, len(zeros))  # the thread's own contexts and blocks exist from now
    tracemalloc.start()
    try:
        decode(encoded.codec, BFLOAT16, encoded.payload, len(zeros))
        assert tracemalloc.get_traced_memory()[1] < 2 * len(zeros) + (1 << 20)
    finally:
        tracemalloc.stop()
