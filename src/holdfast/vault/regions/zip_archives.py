"""The zip archives that lie one behind the other in a file, found from its end, and where their members' bytes are.

`torch.save` writes one archive a file; a `.distcp` file of PyTorch's distributed checkpoints is a row of them, one
for each tensor. Only the directory is read; nothing is unpacked.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Final, NamedTuple

from holdfast.vault.regions.model import Source
from holdfast.vault.regions.proposal import Malformed
from holdfast.vault.regions.source import BlockReader, Slice

__all__ = ["MAGICS", "Member", "Archive", "read_archives"]

MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06")  # a member, or the end of an archive without any
DIRECTORY_BYTES_MAX: Final = 32 << 20  # of one archive: about 300,000 members as torch.save names them
DIRECTORIES_BYTES_MAX: Final = 256 << 20  # of all archives in a file
MEMBERS_MAX: Final = 600_000  # of all archives in a file

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")  # signature, …, length of the name, length of the extra field
_ENCRYPTED: Final = 1

# What zipfile raises for damaged directories, beyond its own BadZipFile.
_DAMAGE: Final = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError, EOFError)


class Member(NamedTuple):
    """A file in an archive. `data_offset` counts from the start of the source; `size` is the stored (packed) size."""

    name: str
    data_offset: int
    size: int
    compression: int  # 0: stored as it is; 8: deflated; -1: encrypted

    @property
    def stored(self) -> bool:
        return self.compression == zipfile.ZIP_STORED


class Archive(NamedTuple):
    """One archive: [start, end) in the source, its members in the order of its directory."""

    start: int
    end: int
    members: list[Member]


def read_archives(source: Source) -> list[Archive]:
    """The archives that reach up to the end of `source`, first to last. Raises Malformed when there is none.

    Bytes before the first one belong to no archive.
    """
    if not source.size:
        raise Malformed("it is empty")
    archives: list[Archive] = []
    end, members, directory_bytes = source.size, 0, 0
    while end > 0:
        found = _read_directory(source, end, required=not archives)
        if found is None:
            break
        infos, directory_start = found
        start = min((info.header_offset for info in infos), default=end)
        if not 0 <= start < directory_start:
            break
        members += len(infos)
        directory_bytes += end - directory_start
        if members > MEMBERS_MAX or directory_bytes > DIRECTORIES_BYTES_MAX:
            raise Malformed("it lists too many members")
        archives.append(Archive(start, end, _locate(source, infos, directory_start)))
        end = start
    return archives[::-1]


def _read_directory(source: Source, end: int, required: bool) -> tuple[list[zipfile.ZipInfo], int] | None:
    try:
        with zipfile.ZipFile(_File(Slice(source, 0, end))) as archive:
            return archive.infolist(), archive.start_dir
    except _DAMAGE as error:
        if required:
            raise Malformed("its zip directory is missing or damaged; perhaps it is truncated") from error
        return None


def _locate(source: Source, infos: list[zipfile.ZipInfo], directory_start: int) -> list[Member]:
    reader = BlockReader(Slice(source, 0, directory_start))
    return [_member(reader, info, directory_start) for info in infos]


def _member(reader: BlockReader, info: zipfile.ZipInfo, limit: int) -> Member:
    header = reader.read(info.header_offset, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise Malformed("a member of it begins beyond its zip directory")
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != MAGICS[0]:
        raise Malformed(f"no member begins at byte {info.header_offset}, where its zip directory has one")
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if start + info.compress_size > limit:
        raise Malformed("a member of it reaches beyond its zip directory")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise Malformed("a member of it has two different sizes")
    encrypted = info.flag_bits & _ENCRYPTED
    return Member(info.filename, start, info.compress_size, -1 if encrypted else info.compress_type)


class _File(io.RawIOBase):
    """What `zipfile` needs of a file, over a source; refuses to hold a directory that is too large."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._source.size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        if length > DIRECTORY_BYTES_MAX:
            raise Malformed(f"its zip directory is larger than {DIRECTORY_BYTES_MAX >> 20} MiB")
        data = self._source.read_at(self._position, length)
        self._position += len(data)
        return data
