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

__all__ = ["Effort", "compress", "decompress"]


class Effort(Enum):
    """How hard the encoder looks. Every decoder reads all of them alike."""

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


class _Contexts(threading.local):
    """zstd contexts are large and not shareable: each thread makes its own, when first needed, and keeps them."""

    def __init__(self) -> None:
        self.compressors: dict[Effort, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)


_CONTEXTS = _Contexts()


def compress(data: Buffer, effort: Effort) -> bytes:
    """One frame that holds `data`."""
    compressor = _CONTEXTS.compressors.get(effort)
    if compressor is None:
        compressor = _CONTEXTS.compressors[effort] = _compressor(effort)
    return compressor.compress(data)


def decompress(frame: memoryview, length: int, what: str) -> bytes:
    """The `length` > 0 bytes in `frame`; `what` names it in messages.

    Nothing of the size is allocated before the frame's header agrees with it. Raises DamageError for whatever is not
    exactly one sound frame of that content within the limits.
    """
    _check_header(frame, length, what)
    try:
        data = _CONTEXTS.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamageError(f"{what} is not a sound zstd frame: {error}") from error
    if len(data) != length:
        raise DamageError(f"{what} holds {len(data)} bytes where {length} were expected")
    return data


def _check_header(frame: memoryview, length: int, what: str) -> None:
    # A skippable frame has parameters too, so the magic number is compared first.
    if frame[:4] != zstandard.FRAME_HEADER:
        raise DamageError(f"{what} is not a zstd frame")
    try:
        header = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        raise DamageError(f"{what} has no sound zstd frame header: {error}") from error
    if header.content_size != length:
        raise DamageError(f"{what} announces a content of another size than the {length} bytes expected")
    if header.dict_id != 0:
        raise DamageError(f"{what} asks for a zstd dictionary, and the format has none")
    if header.window_size > MAX_WINDOW:
        raise DamageError(f"{what} asks for a zstd window of {header.window_size} bytes; {MAX_WINDOW} is the most")
