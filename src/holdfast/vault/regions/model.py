"""What a parser proposes about a file: regions of one element type, and the tensors that lie in them.

Bytes decide, parsers propose: a wrong region costs compression, never a byte. Nothing here reads or writes a store.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

__all__ = ["Kind", "Element", "OPAQUE", "BYTES", "HOLE", "Tensor", "Region", "Layout", "Source", "DTYPES"]


class Kind(IntEnum):
    """How the bytes of a region are to be understood. Numbers are part of vault format 1."""

    OPAQUE = 0  # no elements; cut by content (FastCDC)
    INT = 1  # integers of `width` bytes, little endian
    FLOAT = 2  # sign-magnitude floats of `width` bytes, little endian (IEEE 754, bfloat16, the fp8 and fp4 formats)
    HOLE = 3  # zeros that the file system does not even store


class Element(NamedTuple):
    """Element type of a region: kind, and width in bytes (1, 2, 4 or 8)."""

    kind: Kind
    width: int


OPAQUE = Element(Kind.OPAQUE, 1)
BYTES = Element(Kind.INT, 1)
HOLE = Element(Kind.HOLE, 1)

# The names of dtypes in manifests, and their element. Complex numbers are pairs of floats.
# Sub-byte dtypes (f4: two to a byte; f6: packed) are bytes to us.
DTYPES: dict[str, Element] = {
    "bool": BYTES,
    "u8": BYTES,
    "i8": BYTES,
    "u16": Element(Kind.INT, 2),
    "i16": Element(Kind.INT, 2),
    "u32": Element(Kind.INT, 4),
    "i32": Element(Kind.INT, 4),
    "u64": Element(Kind.INT, 8),
    "i64": Element(Kind.INT, 8),
    "f4": BYTES,
    "f6_e2m3": BYTES,
    "f6_e3m2": BYTES,
    "f8_e4m3": Element(Kind.FLOAT, 1),
    "f8_e4m3fnuz": Element(Kind.FLOAT, 1),
    "f8_e5m2": Element(Kind.FLOAT, 1),
    "f8_e5m2fnuz": Element(Kind.FLOAT, 1),
    "f8_e8m0": BYTES,
    "f16": Element(Kind.FLOAT, 2),
    "bf16": Element(Kind.FLOAT, 2),
    "f32": Element(Kind.FLOAT, 4),
    "f64": Element(Kind.FLOAT, 8),
    "c64": Element(Kind.FLOAT, 4),
    "c128": Element(Kind.FLOAT, 8),
}


class Tensor(NamedTuple):
    """One named array inside a file: `nbytes` bytes at `offset`, C order unless the format says otherwise.

    `dtype` is a key of `DTYPES`, or the format's own name for a block-quantised type (`q4_k`), which is opaque bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    fortran: bool = False


class Region(NamedTuple):
    """`length` bytes at `offset` that share an element type."""

    offset: int
    length: int
    element: Element

    @property
    def end(self) -> int:
        return self.offset + self.length


class Layout(NamedTuple):
    """A file, cut. `regions` cover it from 0 to its size without gap or overlap, in order.

    `problems` are findings about the file itself (`"truncated: 4096 bytes are missing"`), one sentence each.
    """

    format: str  # "safetensors", "torch-zip", "npy", "npz", "gguf", "floats" (sniffed), "opaque"
    regions: list[Region]
    tensors: list[Tensor]
    problems: list[str]


class Source(Protocol):
    """Random access to a file (or a thing like one) that is being saved."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer only at the end of the file."""
        ...
