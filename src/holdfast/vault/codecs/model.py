"""The codecs' numbers and limits; all of them are part of vault format 1."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Codec", "Encoded", "MAX_RAW_LENGTH", "MAX_WINDOW", "ELEMENT_WIDTHS"]

MAX_RAW_LENGTH = 64 << 20  # bytes of one chunk's plaintext; a reader refuses more before it allocates anything
MAX_WINDOW = 8 << 20  # bytes a zstd decoder may have to remember
ELEMENT_WIDTHS = (1, 2, 4, 8)  # bytes


class Codec(IntEnum):
    """How a chunk's payload is to be read."""

    RAW = 0  # the bytes themselves
    ZSTD = 1  # one zstd frame
    PLANES = 2  # byte planes of the element width, each raw or one zstd frame
    DELTA = 3  # the zigzagged difference to a base chunk of the same length, as PLANES


class Encoded(NamedTuple):
    """A chunk as it is stored. The payload of `RAW` may be the very buffer that was handed in."""

    codec: Codec
    payload: bytes | memoryview
