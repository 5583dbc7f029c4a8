"""Cheap proof that one file has been written to its end, from its first and last bytes.

A pass does not mean that the content is right; a failure means that the file cannot be opened by anybody. Nothing here
unpickles.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from holdfast.checkpoints.listing import Entry

__all__ = ["NotWholeError", "file_problem", "read_json"]

HEADER_LIMIT = 100_000_000  # bytes; the safetensors library refuses longer headers
JSON_LIMIT = 256 << 20  # bytes; a trainer state with a very long log is some tens of MiB
_END_OF_ZIP = struct.Struct("<4s4H2LH")  # PKWARE APPNOTE 4.3.16
_ZIP_COMMENT_MAX = 65535
_ZIP64 = 0xFFFFFFFF


class NotWholeError(Exception):
    """Internal to this package: why a file is not whole. Never crosses a public door."""


def _decode_json(data: bytes) -> object:
    try:
        decoded: object = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise NotWholeError("is not whole JSON yet") from error
    return decoded


def read_json(path: Path, size: int) -> object:
    """The decoded file. Raises NotWholeError when it is cut off, not JSON, unreasonably long, or not readable."""
    if size > JSON_LIMIT:
        raise NotWholeError("is too long to be what its name says")
    try:
        return _decode_json(path.read_bytes())
    except OSError as error:
        raise NotWholeError(f"cannot be read ({error.strerror})") from error


def _check_json(file: BinaryIO, size: int) -> None:
    if size > JSON_LIMIT:
        raise NotWholeError("is too long to be what its name says")
    _decode_json(file.read())


def _data_end(header: object) -> int:
    """Where the last tensor ends, counted from the end of the header."""
    end = 0
    if not isinstance(header, dict):
        raise NotWholeError("has a header that is no object")
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        match tensor:
            case {"data_offsets": [int(), int(stop)]}:
                end = max(end, stop)
            case _:
                raise NotWholeError("has a header without data offsets")
    return end


def _check_safetensors(file: BinaryIO, size: int) -> None:
    """The file is 8 bytes of header length, the header, and exactly the data that the header names."""
    if size < 8:
        raise NotWholeError("has no header yet")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > HEADER_LIMIT:
        raise NotWholeError("has a header of impossible length")
    if 8 + length > size:
        raise NotWholeError("ends inside its header")
    whole = 8 + length + _data_end(_decode_json(file.read(length)))
    if size != whole:
        raise NotWholeError(f"has {size} of {whole} bytes" if size < whole else f"is longer than its {whole} bytes")


def _zip_end(tail: bytes, size: int) -> bool:
    """Whether `tail`, the last bytes of a file of `size` bytes, holds the record that ends every ZIP archive."""
    position = tail.rfind(b"PK\x05\x06")
    while position >= 0:
        record = tail[position : position + _END_OF_ZIP.size]
        if len(record) == _END_OF_ZIP.size:
            *_, directory_size, directory_offset, comment = _END_OF_ZIP.unpack(record)
            ends_here = position + _END_OF_ZIP.size + comment == len(tail)
            start = size - len(tail) + position
            if ends_here and (directory_offset == _ZIP64 or directory_offset + directory_size <= start):
                return True
        position = tail.rfind(b"PK\x05\x06", 0, position)
    return False


def _check_zip(file: BinaryIO, size: int) -> None:
    """`torch.save`, `numpy.savez` and Keras write ZIP archives, whose directory comes last. Anything else passes."""
    if not b"PK\x03\x04".startswith(file.read(4)):
        return
    for length in (_END_OF_ZIP.size, _END_OF_ZIP.size + _ZIP_COMMENT_MAX):
        file.seek(max(0, size - length))
        if _zip_end(file.read(), size):
            return
    raise NotWholeError("has no end of its archive yet")


def _check_pickle(file: BinaryIO, size: int) -> None:
    """A pickle begins with PROTO (0x80) and ends with STOP, which is a full stop. Anything else passes."""
    if file.read(1) != b"\x80":
        return
    file.seek(max(0, size - 1))
    if file.read(1) != b".":
        raise NotWholeError("has no end yet")


_BY_NAME: dict[str, Callable[[BinaryIO, int], None]] = {".metadata": _check_pickle, "trainer_state.json": _check_json}
_BY_SUFFIX: dict[str, Callable[[BinaryIO, int], None]] = {
    ".safetensors": _check_safetensors,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pkl", ".npz", ".keras"), _check_zip),
}


# Only passes are remembered: lru_cache keeps no exception, and a file that was not whole may become so within the
# resolution of its mtime. The key holds size and time, so a rewritten file is looked at again.
@lru_cache(maxsize=1 << 16)
def _require_whole(path: str, size: int, mtime_ns: int) -> None:
    name = PurePosixPath(path).name
    check = _BY_NAME.get(name) or _BY_SUFFIX.get(PurePosixPath(name).suffix)
    if check is None:
        return
    if not size:
        raise NotWholeError("is empty")
    with Path(path).open("rb") as file:
        check(file, size)


def file_problem(path: Path, entry: Entry) -> str:
    """Why the file is not whole (`"ends inside its header"`); empty when nothing speaks against it."""
    try:
        _require_whole(str(path), entry.size, entry.mtime_ns)
    except NotWholeError as problem:
        return str(problem)
    except FileNotFoundError:
        return "vanished while it was looked at"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""
