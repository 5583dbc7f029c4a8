"""safetensors: an 8-byte length, a JSON header of that length, and the tensors one after the other.

Format: the "Format" section of the safetensors README, and the checks of its reference implementation, version 0.8.
"""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.vault.regions.model import DTYPES, Region, Source, Tensor
from holdfast.vault.regions.proposal import Malformed, Proposal
from holdfast.vault.regions.shapes import TENSORS_MAX, element_count

__all__ = ["FORMAT", "HEADER_BYTES_MAX", "looks_like", "parse"]

FORMAT: Final = "safetensors"
HEADER_BYTES_MAX: Final = 100_000_000  # the reference implementation refuses more
# Half a million tensors of eight dimensions stay below this; it bounds the memory that a hostile header can claim.
HEADER_COMMAS_MAX: Final = 8_000_000

_DTYPES: Final[dict[str, tuple[str, int]]] = {  # the format's name: ours, and bits per element
    "BOOL": ("bool", 8),
    "U8": ("u8", 8),
    "I8": ("i8", 8),
    "F4": ("f4", 4),
    "F6_E2M3": ("f6_e2m3", 6),
    "F6_E3M2": ("f6_e3m2", 6),
    "F8_E5M2": ("f8_e5m2", 8),
    "F8_E4M3": ("f8_e4m3", 8),
    "F8_E5M2FNUZ": ("f8_e5m2fnuz", 8),
    "F8_E4M3FNUZ": ("f8_e4m3fnuz", 8),
    "F8_E8M0": ("f8_e8m0", 8),
    "I16": ("i16", 16),
    "U16": ("u16", 16),
    "F16": ("f16", 16),
    "BF16": ("bf16", 16),
    "I32": ("i32", 32),
    "U32": ("u32", 32),
    "F32": ("f32", 32),
    "C64": ("c64", 64),
    "F64": ("f64", 64),
    "I64": ("i64", 64),
    "U64": ("u64", 64),
}


class _Entry(msgspec.Struct, gc=False):
    """One value of the header. `__metadata__`, an object of strings, must pass too: hence `str` beside the lists."""

    dtype: str = ""
    shape: list[int] | str | None = None
    data_offsets: list[int] | str | None = None


_DECODER: Final = msgspec.json.Decoder(dict[str, _Entry])


def looks_like(head: bytes, size: int) -> bool:
    """Whether the first 9 bytes of a file of `size` bytes could begin a safetensors file: it has no magic number."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] in (b"{", b" ") and 2 <= length <= min(HEADER_BYTES_MAX, size - 8)


def parse(source: Source) -> Proposal:
    """Regions and tensors of a safetensors file. Raises Malformed.

    Of a truncated file whose header is whole, the tensors that are whole are given, and a finding.
    """
    entries, data_start = _read_header(source)
    tensors = sorted((_tensor(name, entry, data_start) for name, entry in entries.items()), key=_position)
    problems = []
    end = data_start
    for tensor in tensors:
        if tensor.offset != end:
            raise Malformed(f"a tensor begins at byte {tensor.offset} where byte {end} is due")
        end += tensor.nbytes
    if end > source.size:
        problems.append(f"truncated: {end - source.size} bytes are missing")
    elif end < source.size:
        problems.append(f"{source.size - end} bytes follow the last tensor")
    return Proposal(FORMAT, _spans(tensors, source.size), [t for t in tensors if _end(t) <= source.size], problems)


def _read_header(source: Source) -> tuple[dict[str, _Entry], int]:
    prefix = source.read_at(0, 8)
    if len(prefix) < 8:
        raise Malformed("it is shorter than the length of a header")
    length = int.from_bytes(prefix, "little")
    if length > HEADER_BYTES_MAX:
        raise Malformed(f"its header claims {length} bytes; the format allows {HEADER_BYTES_MAX}")
    header = source.read_at(8, length)
    if len(header) < length:
        raise Malformed(f"its header is truncated: {length - len(header)} bytes are missing")
    if header.count(b"{") > TENSORS_MAX or header.count(b",") > HEADER_COMMAS_MAX:
        raise Malformed("its header lists too many tensors")
    try:
        entries = _DECODER.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("its header is not the JSON that the format asks for") from error
    entries.pop("__metadata__", None)
    return entries, 8 + length


def _tensor(name: str, entry: _Entry, data_start: int) -> Tensor:
    if entry.dtype not in _DTYPES:
        raise Malformed(f"a tensor has the unknown dtype {entry.dtype[:32]!r}")
    dtype, bits = _DTYPES[entry.dtype]
    shape, offsets = entry.shape, entry.data_offsets
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise Malformed("a tensor lacks its shape or its offsets")
    begin, end = offsets
    if not 0 <= begin <= end < 1 << 63:
        raise Malformed("a tensor has impossible offsets")
    if element_count(shape, (end - begin) * 8) * bits != (end - begin) * 8:
        raise Malformed(f"a tensor's shape does not fit its {end - begin} bytes")
    return Tensor(name, dtype, tuple(shape), data_start + begin, end - begin)


def _spans(tensors: list[Tensor], size: int) -> list[Region]:
    spans = []
    for tensor in tensors:
        element = DTYPES[tensor.dtype]
        length = min(tensor.nbytes, size - tensor.offset)
        if length >= element.width:
            spans.append(Region(tensor.offset, length - length % element.width, element))
    return spans


def _position(tensor: Tensor) -> tuple[int, int, str]:
    return tensor.offset, tensor.nbytes, tensor.name


def _end(tensor: Tensor) -> int:
    return tensor.offset + tensor.nbytes
