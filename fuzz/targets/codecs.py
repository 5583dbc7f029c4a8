"""Payloads of chunks: each codec, frames and sparse planes alone. First bytes: kind, width and length of the chunk."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from fuzz.model import Broken, Target
from holdfast.vault.codecs import MAX_RAW_LENGTH, Codec, decode, decode_into, encode
from holdfast.vault.codecs.frames import Effort, announced_length, compress, decompress_into
from holdfast.vault.codecs.sparse import check_sparse, press_sparse, sparse_bound, spread_sparse
from holdfast.vault.regions.model import Element, Kind

__all__ = ["TARGETS"]

_HEAD = struct.Struct("<BBI")
_ROOM = 4 * MAX_RAW_LENGTH
_WHY = "a chunk may have 64 MiB, and a frame of some bytes may hold it; its planes are in memory beside it"
_TOKENS = (b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd\x60", b"\x50\x2a\x4d\x18")
_TOKENS += (b"\x02\x04\x00\x00\x00", b"\x01", b"\x00\x00\x00\x00")


def _base(length: int) -> bytes:
    return (np.arange(length // 2 + 1, dtype="<u2") * 40503).tobytes()[:length]


def _decoder(codec: Codec) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        if len(data) < _HEAD.size:
            return
        kind, width, length = _HEAD.unpack_from(data)
        payload, element = data[_HEAD.size :], Element(Kind(kind % 4), width)
        # A base exists only as long as some chunk is: making one here for any length would only be slow.
        base = _base(length) if codec is Codec.DELTA and length <= 1 << 22 else None
        plain = decode(codec, element, payload, length, base)
        if len(plain) != length:
            raise Broken(f"{len(plain)} bytes where {length} were promised")
        again = memoryview(bytearray(length))
        decode_into(codec, element, payload, again, base)
        if again != plain:
            raise Broken("the two decoders do not agree")
        if codec is Codec.DELTA and length <= 1 << 16 and element.kind in (Kind.INT, Kind.FLOAT):
            encoded = encode(bytes(plain), element, base)
            if decode(encoded.codec, element, encoded.payload, length, base) != plain:
                raise Broken("what was decoded does not survive coding")

    return run


def _floats(step: float) -> bytes:
    rng = np.random.default_rng(3)
    return (rng.normal(size=512) * 0.02 + step * rng.normal(size=512)).astype("<f4").tobytes()


def _planes_seeds() -> list[bytes]:
    seeds = []
    for width in (2, 4, 8):
        for raw in (_floats(0), bytes(2048), bytes(2000) + bytes(range(48)), _floats(0) + b"end"):
            encoded = encode(raw, Element(Kind.FLOAT, width))
            if encoded.codec is Codec.PLANES:
                seeds.append(_HEAD.pack(2, width, len(raw)) + encoded.payload)
    return seeds


def _delta_seeds() -> list[bytes]:
    """Differences to `_base`: dense ones, and such whose high planes are sparse (method 2)."""
    seeds = []
    for width in (1, 2, 4, 8):
        for length in (64, 4096):
            base = np.frombuffer(_base(length), f"<u{width}").copy()
            near = base + np.random.default_rng(width).integers(0, 3, base.size).astype(base.dtype)
            for kind in (Kind.INT, Kind.FLOAT):
                encoded = encode(near.tobytes(), Element(kind, width), _base(length))
                if encoded.codec is Codec.DELTA:
                    seeds.append(_HEAD.pack(kind, width, length) + encoded.payload)
    return seeds


def _frame(data: bytes) -> None:
    length = int.from_bytes(data[:3], "little")
    frame = memoryview(data)[3:]
    announced_length(frame, "a frame")
    out = memoryview(bytearray(max(1, length)))
    decompress_into(frame, out, "a frame")


def _frame_seeds() -> list[bytes]:
    texts = (b"a", b"holdfast " * 30, bytes(4000), _floats(0))
    return [len(text).to_bytes(3, "little") + compress(text, effort) for text in texts for effort in list(Effort)[1:]]


def _sparse(data: bytes) -> None:
    size = int.from_bytes(data[:3], "little")
    stored = memoryview(data)[3:]
    check_sparse(stored, size, "a plane")
    plane = np.empty(size, np.uint8)
    spread_sparse(stored, plane, "a plane")
    out = memoryview(bytearray(sparse_bound(size)))
    length = press_sparse(plane, out)
    if length is not None:
        again = np.empty(size, np.uint8)
        spread_sparse(out[:length], again, "a plane")
        if not np.array_equal(plane, again):
            raise Broken("a plane does not survive pressing")


def _sparse_seeds() -> list[bytes]:
    seeds = []
    for size, places in ((1000, (3, 4, 999)), (100_000, tuple(range(0, 100_000, 777))), (600, ())):
        plane = np.zeros(size, np.uint8)
        plane[list(places)] = 9
        out = memoryview(bytearray(sparse_bound(size)))
        length = press_sparse(plane, out)
        assert length is not None
        seeds.append(size.to_bytes(3, "little") + bytes(out[:length]))
    return seeds


TARGETS = [
    Target(
        "codec-raw", "`decode` (raw)", _decoder(Codec.RAW), lambda: [_HEAD.pack(0, 1, 5) + b"bytes"], (), _ROOM, _WHY
    ),
    Target(
        "codec-zstd",
        "`decode` (zstd)",
        _decoder(Codec.ZSTD),
        lambda: [_HEAD.pack(0, 1, 600) + compress(b"fuzz!!" * 100, Effort.THOROUGH)],
        _TOKENS,
        _ROOM,
        _WHY,
    ),
    Target(
        "codec-planes",
        "`decode` (planes: raw, zstd, sparse)",
        _decoder(Codec.PLANES),
        _planes_seeds,
        _TOKENS,
        _ROOM,
        _WHY,
    ),
    Target(
        "codec-delta",
        "`decode` (delta), `merge`, `apply_difference`, and `encode` of what comes out",
        _decoder(Codec.DELTA),
        _delta_seeds,
        _TOKENS,
        _ROOM,
        _WHY,
    ),
    Target("frame", "`announced_length`, `check_frame`, `decompress_into`", _frame, _frame_seeds, _TOKENS),
    Target("sparse", "`check_sparse`, `spread_sparse`, `press_sparse`", _sparse, _sparse_seeds, _TOKENS),
]
