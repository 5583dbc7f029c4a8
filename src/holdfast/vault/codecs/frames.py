"""zstd frames (RFC 8878) as the codecs use them: one frame, its content size written, no checksum, no dictionary.

Chunk ids verify the plaintext, so a checksum inside the frame would cost four bytes and time for nothing.
"""

from __future__ import annotations

import threading
from enum import Enum

import zstandard

from holdfast.errors import DamageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs.model import MAX_WINDOW

__all__ = ["Effort", "compress", "compress_into", "frame_bound", "announced_length", "check_frame", "decompress_into"]


class Effort(Enum):
    """How hard the encoder looks. Every decoder reads all of them alike."""

    SPARSE = "sparse"  # not by zstd alone: see `codecs.sparse`
    SYMBOLS = "symbols"
    FAST = "fast"
    THOROUGH = "thorough"


def _compressor(effort: Effort) -> zstandard.ZstdCompressor:
    if effort is Effort.SYMBOLS:
        # A match finder with 64 slots that wants 7 equal bytes finds nearly nothing but runs, and leaves the rest to
        # Huffman coding. On exponent planes the matches of level 1 only hurt: 0.369 of the plane against 0.341, at
        # a third of the speed, and half of it when decoding.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            1, strategy=zstandard.STRATEGY_FAST, min_match=7, hash_log=6, write_content_size=True, write_checksum=False
        )
        return zstandard.ZstdCompressor(compression_params=parameters)
    level = 1 if effort is Effort.FAST else 3
    return zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True, write_dict_id=False)


_BLOCK_HEADER, _CHECKSUM = 3, 4  # bytes
_RUN = 1  # the type of a block that is one byte, repeated


class _Contexts(threading.local):
    """zstd contexts are large and not shareable: each thread makes its own, when first needed, and keeps them."""

    def __init__(self) -> None:
        self._compressors: dict[Effort, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def compressor(self, effort: Effort) -> zstandard.ZstdCompressor:
        found = self._compressors.get(effort)
        if found is None:
            found = self._compressors[effort] = _compressor(effort)
        return found


_CONTEXTS = _Contexts()


def compress(data: Buffer, effort: Effort) -> bytes:
    """One frame that holds `data`."""
    return _CONTEXTS.compressor(effort).compress(data)


def compress_into(data: Buffer, effort: Effort, out: memoryview) -> int:
    """Write one frame that holds `data` to the start of `out`, which has room for `frame_bound(len(data))` bytes.

    Returns its length. Fresh memory costs more than compressing into it, so the hot path has none.
    """
    with _CONTEXTS.compressor(effort).stream_reader(data, size=memoryview(data).nbytes) as reader:
        return int(reader.readinto(out))


def frame_bound(length: int) -> int:
    """Bytes that a frame of `length` bytes takes at most: never smaller than ZSTD_COMPRESSBOUND."""
    return length + (length >> 8) + 1024


def decompress_into(frame: memoryview, out: memoryview, what: str) -> None:
    """Fill `out` (one byte at least) with the content of `frame`; `what` names it in messages.

    Raises DamageError for whatever is not exactly one sound frame of that content within the limits; what `out` then
    holds is undefined.
    """
    check_frame(frame, len(out), what)
    try:
        with _CONTEXTS.decompressor.stream_reader(frame) as reader:
            length = reader.readinto(out)
    except zstandard.ZstdError as error:
        raise DamageError(f"{what} is not a sound zstd frame: {error}") from error
    if length != len(out):
        raise DamageError(f"{what} holds {length} bytes where {len(out)} were expected")
    if _frame_length(frame) != len(frame):
        raise DamageError(f"{what} is followed by other bytes, or was cut short")


def _frame_length(frame: memoryview) -> int:
    """Where the frame ends by its blocks' headers (RFC 8878, 3.1.1.2); -1 where it does not end."""
    position = zstandard.frame_header_size(frame)
    last = False
    while not last:
        header = int.from_bytes(frame[position : position + _BLOCK_HEADER], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        position += _BLOCK_HEADER + (1 if kind == _RUN else size)
        if position > len(frame):
            return -1
    return position + (_CHECKSUM if zstandard.get_frame_parameters(frame).has_checksum else 0)


def check_frame(frame: memoryview, length: int, what: str) -> None:
    """Whether the frame's header promises `length` bytes within the limits: then memory may be taken for them.

    Raises DamageError.
    """
    if announced_length(frame, what) != length:
        raise DamageError(f"{what} announces a content of another size than the {length} bytes expected")


def announced_length(frame: memoryview, what: str) -> int:
    """The content size that the frame's header states. Raises DamageError when it is no header within the limits."""
    # A skippable frame has parameters too, so the magic number is compared first.
    if frame[:4] != zstandard.FRAME_HEADER:
        raise DamageError(f"{what} is not a zstd frame")
    try:
        header = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        raise DamageError(f"{what} has no sound zstd frame header: {error}") from error
    if header.dict_id != 0:
        raise DamageError(f"{what} asks for a zstd dictionary, and the format has none")
    if header.window_size > MAX_WINDOW:
        raise DamageError(f"{what} asks for a zstd window of {header.window_size} bytes; {MAX_WINDOW} is the most")
    return int(header.content_size)
