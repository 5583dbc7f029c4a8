"""GGUF, versions 2 and 3: metadata, descriptions of tensors, padding, tensors. Little endian.

Format: `docs/gguf.md` in the ggml repository. Metadata are walked over, to find where they end; of their values only
`general.alignment` is used. GGUF lists the fastest dimension first; shapes are given here in the usual order, reversed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.vault.regions.model import BYTES, DTYPES, Region, Source, Tensor
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.shapes import TENSORS_MAX, element_count
from holdfast.vault.regions.source import BlockReader

__all__ = ["FORMAT", "MAGIC", "parse"]

FORMAT: Final = "gguf"
MAGIC: Final = b"GGUF"
DIMENSIONS_MAX: Final = 4
NAME_BYTES_MAX: Final = 4096  # ggml itself allows 63
VALUES_MAX: Final = (
    4_000_000  # metadata keys and texts: the largest vocabularies have 300,000 tokens and as many merges
)
HEADER_BYTES_MAX: Final = 1 << 30
ALIGNMENT_DEFAULT: Final = 32
ALIGNMENT_MAX: Final = 1 << 20
ALIGNMENT_KEY: Final = b"general.alignment"

_VALUE_BYTES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _STRING, _ARRAY = 4, 8, 9

# ggml type: (our dtype or ggml's name, elements in a block, bytes of a block). From `ggml_type` and `ggml-common.h`.
_TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 40),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
    41: ("q1_0", 128, 18),
}


class _Info(NamedTuple):
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int  # from the start of the tensors' data


def parse(source: Source) -> Proposal:
    """Regions and tensors of a GGUF file. Raises Malformed, and Foreign for other versions and big-endian files.

    Tensors of ggml types that are not known here are left out; block-quantised ones are bytes under ggml's name.
    """
    cursor = _Cursor(source)
    version, tensor_count, value_count = _read_start(cursor)
    if version not in (2, 3):
        raise Foreign(f"version {version} of the format, or its byte order, is not known")
    if tensor_count > TENSORS_MAX or value_count > VALUES_MAX:
        raise Malformed(f"it claims {tensor_count} tensors and {value_count} values")
    alignment = _read_alignment(cursor, value_count)
    infos = [_read_info(cursor) for _ in range(tensor_count)]
    data_start = -(-cursor.position // alignment) * alignment
    result = Proposal(FORMAT, [], [], [])
    end = 0
    for info in infos:
        end = max(end, _add(result, info, data_start, source.size))
    if end > source.size:
        result.problems.append(f"truncated: {end - source.size} bytes are missing")
    return result


def _add(result: Proposal, info: _Info, data_start: int, size: int) -> int:
    """Add span and tensor; return where the tensor ends."""
    if info.type not in _TYPES:
        return 0
    dtype, block, block_bytes = _TYPES[info.type]
    count = element_count(info.shape, 1 << 62)
    if count % block or (info.shape and info.shape[-1] % block):
        raise Malformed(f"a tensor of {dtype} has rows that are no whole blocks")
    nbytes = count // block * block_bytes
    offset = data_start + info.offset
    element = DTYPES.get(dtype, BYTES)
    present = min(nbytes, max(0, size - offset))
    if present:
        result.spans.append(Region(offset, present - present % element.width, element))
    if present == nbytes and offset <= size:
        result.tensors.append(Tensor(info.name, dtype, info.shape, offset, nbytes))
    return offset + nbytes


def _read_start(cursor: _Cursor) -> tuple[int, int, int]:
    if cursor.take(4) != MAGIC:
        raise Malformed("it does not begin as the format asks")
    version = cursor.unsigned(4)
    return (version, cursor.unsigned(8), cursor.unsigned(8)) if version in (2, 3) else (version, 0, 0)


def _read_alignment(cursor: _Cursor, value_count: int) -> int:
    alignment = ALIGNMENT_DEFAULT
    for _ in range(value_count):
        key = cursor.text()
        kind = cursor.unsigned(4)
        if key == ALIGNMENT_KEY and kind == _UINT32:
            alignment = cursor.unsigned(4)
        else:
            _skip_value(cursor, kind)
    if not 1 <= alignment <= ALIGNMENT_MAX or alignment & (alignment - 1):
        raise Malformed(f"its alignment is {alignment}")
    return alignment


def _skip_value(cursor: _Cursor, kind: int) -> None:
    if kind in _VALUE_BYTES:
        cursor.skip(_VALUE_BYTES[kind])
    elif kind == _STRING:
        cursor.skip_text()
    elif kind == _ARRAY:
        _skip_array(cursor)
    else:
        raise Malformed(f"a value has the unknown type {kind}")


def _skip_array(cursor: _Cursor) -> None:
    kind, count = cursor.unsigned(4), cursor.unsigned(8)
    if kind in _VALUE_BYTES:
        cursor.skip(count * _VALUE_BYTES[kind])
    elif kind == _STRING:
        for _ in range(count):  # the cursor ends this at VALUES_MAX, or with the file
            cursor.skip_text()
    else:
        raise Malformed(f"an array holds values of the type {kind}")


def _read_info(cursor: _Cursor) -> _Info:
    name = cursor.text().decode("utf-8", "replace")
    dimensions = cursor.unsigned(4)
    if dimensions > DIMENSIONS_MAX:
        raise Malformed(f"a tensor has {dimensions} dimensions")
    shape = tuple(cursor.unsigned(8) for _ in range(dimensions))
    return _Info(name, shape[::-1], cursor.unsigned(4), cursor.unsigned(8))


class _Cursor:
    """Reads forward through the header, within bounds. All methods raise Malformed beyond them."""

    def __init__(self, source: Source) -> None:
        self._reader = BlockReader(source, block_bytes=1 << 20)
        self._size = min(source.size, HEADER_BYTES_MAX)
        self._texts = 0
        self.position = 0

    def take(self, length: int) -> bytes:
        data = self._reader.read(self.position, length)
        self.skip(length)
        return data

    def skip(self, length: int) -> None:
        self.position += length
        if self.position > self._size:
            raise Malformed("its header is truncated, or claims more than a header can hold")

    def unsigned(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def text(self) -> bytes:
        length = self._text_length()
        if length > NAME_BYTES_MAX:
            raise Malformed(f"a name in its header has {length} bytes")
        return self.take(length)

    def skip_text(self) -> None:
        self.skip(self._text_length())

    def _text_length(self) -> int:
        self._texts += 1
        if self._texts > VALUES_MAX:
            raise Malformed("its header holds too many values")
        return self.unsigned(8)
