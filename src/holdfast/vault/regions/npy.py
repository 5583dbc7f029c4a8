"""NumPy's `.npy`, versions 1 to 3: magic, version, length of the header, a Python dict as text, the array.

Format: `numpy.lib.format`. The header is read by a pattern and never evaluated.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from holdfast.vault.regions.model import BYTES, DTYPES, Region, Source, Tensor
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.shapes import bytes_per_element, element_count

__all__ = ["FORMAT", "MAGIC", "ARRAY_NAME", "parse", "parse_named"]

FORMAT: Final = "npy"
MAGIC: Final = b"\x93NUMPY"
ARRAY_NAME: Final = "array"  # the one array of a file has no name of its own
HEADER_BYTES_MAX: Final = 1 << 20  # a record dtype of thousands of fields; NumPy itself warns above 10,000

_DESCR: Final = re.compile(r"""['"]descr['"]\s*:\s*(?:['"]([^'"]{1,32})['"]|([\[(]))""")
_ORDER: Final = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE: Final = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9,\sL]*)\)""")  # Python 2 wrote 3L

_DTYPES: Final = {
    "b1": "bool",
    "u1": "u8",
    "i1": "i8",
    "u2": "u16",
    "i2": "i16",
    "u4": "u32",
    "i4": "i32",
    "u8": "u64",
    "i8": "i64",
    "f2": "f16",
    "f4": "f32",
    "f8": "f64",
    "c8": "c64",
    "c16": "c128",
    "M8": "i64",
    "m8": "i64",
    "V2": "bf16",  # NumPy has no name for bfloat16: arrays of ml_dtypes are written as two bytes of anything
}


class _Header(NamedTuple):
    descr: str  # empty for a record dtype
    fortran: bool
    shape: tuple[int, ...]
    data_start: int


def parse(source: Source) -> Proposal:
    """Region and tensor of a `.npy` file; the tensor is called `ARRAY_NAME`. Raises Malformed and Foreign.

    Records, strings and other types without elements of ours become a one-dimensional tensor of u8.
    """
    return parse_named(source, ARRAY_NAME)


def parse_named(source: Source, name: str) -> Proposal:
    """As `parse`, with a name for the tensor. Offsets are relative to `source`."""
    header = _read_header(source)
    present = source.size - header.data_start
    dtype = _dtype(header.descr)
    if dtype is None:
        tensor = Tensor(name, "u8", (present,), header.data_start, present)
        return Proposal(FORMAT, [Region(header.data_start, present, BYTES)], [tensor], [])
    width = bytes_per_element(dtype)
    nbytes = element_count(header.shape, 1 << 62) * width
    element = DTYPES[dtype]
    length = min(nbytes, present)
    spans = [Region(header.data_start, length - length % element.width, element)]
    if nbytes > present:
        return Proposal(FORMAT, spans, [], [f"truncated: {nbytes - present} bytes are missing"])
    problems = [f"{present - nbytes} bytes follow the array"] if nbytes < present else []
    fortran = header.fortran and len(header.shape) > 1
    return Proposal(FORMAT, spans, [Tensor(name, dtype, header.shape, header.data_start, nbytes, fortran)], problems)


def _read_header(source: Source) -> _Header:
    prefix = source.read_at(0, 12)
    if len(prefix) < 10 or not prefix.startswith(MAGIC):
        raise Malformed("it does not begin as the format asks")
    version = prefix[6]
    if version not in (1, 2, 3):
        raise Foreign(f"version {version} of the format is not known")
    length_bytes = 2 if version == 1 else 4
    start = 8 + length_bytes
    length = int.from_bytes(prefix[8:start], "little")
    if length > HEADER_BYTES_MAX:
        raise Malformed(f"its header claims {length} bytes")
    header = source.read_at(start, length)
    if len(header) < length:
        raise Malformed(f"its header is truncated: {length - len(header)} bytes are missing")
    return _parse_header(header.decode("utf-8" if version == 3 else "latin-1", "replace"), start + length)


def _parse_header(text: str, data_start: int) -> _Header:
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None or order is None or shape is None:
        raise Malformed("its header lacks the type, the order or the shape of the array")
    sizes = [size.strip().rstrip("L") for size in shape[1].split(",")]
    if not all(size.isdecimal() and len(size) < 20 for size in sizes if size):
        raise Malformed("its header gives an impossible shape")
    return _Header(descr[1] or "", order[1] == "True", tuple(int(size) for size in sizes if size), data_start)


def _dtype(descr: str) -> str | None:
    """Our name, None for what has no elements of ours (records, strings, long doubles). Raises Foreign."""
    order, code = descr[:1], descr[1:].split("[", maxsplit=1)[0]  # "<M8[ns]"
    if order == ">" and _DTYPES.get(code, "u8") not in ("bool", "u8", "i8"):
        raise Foreign("its elements are big-endian")
    if code == "O" or descr == "O":
        raise Foreign("it holds Python objects")
    return _DTYPES.get(code)
