"""PyTorch's zip files: `.pt`, `.pth`, `.bin` of `torch.save`, and `.distcp`, where one archive follows another.

An archive `x` holds `x/data.pkl`, that describes tensors as views of storages, and the storages' bytes, uncompressed,
as `x/data/<key>`. See "Serialized file format for torch.save" in PyTorch's notes on serialization.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from holdfast.vault.regions.model import DTYPES, Element, Region, Source, Tensor
from holdfast.vault.regions.proposal import Foreign, Proposal
from holdfast.vault.regions.shapes import bytes_per_element, element_count, is_c_order, is_fortran_order
from holdfast.vault.regions.sniff import sniff_span
from holdfast.vault.regions.torch_names import name_tensors
from holdfast.vault.regions.torch_pickle import Reading, read_pickle
from holdfast.vault.regions.torch_symbols import Storage, TensorRef
from holdfast.vault.regions.zip_archives import Archive, Member

__all__ = ["FORMAT", "is_torch", "propose"]

FORMAT: Final = "torch-zip"
PICKLE: Final = "data.pkl"
PICKLE_BYTES_MAX: Final = 64 << 20
DEFLATED: Final = 8


class _Contents(NamedTuple):
    """One archive: the records that matter here. Storages are stored members by key."""

    label: str  # "" or, where there are several archives, the number of this one and a slash
    pickle: Member
    byteorder: Member | None
    storages: dict[str, Member]


def is_torch(archives: list[Archive]) -> bool:
    """Whether `torch.save` might have written (one of) these archives."""
    return any(_root(archive) is not None for archive in archives)


def propose(source: Source, archives: list[Archive]) -> Proposal:
    """Regions and tensors of all archives.

    Tensors bear the names that lead to them in the pickled structure. A storage that no dense tensor describes (views
    with gaps, unknown classes, a pickle that is not understood) is given whole, one-dimensional, as `data/<key>`.
    Where a file has several archives, names begin with the archive's number: `3/data/0`.
    Raises Foreign when every archive is big-endian, and Malformed.
    """
    result = Proposal(FORMAT, [], [], [])
    opened = 0
    for index, archive in enumerate(archives):
        contents = _contents(archive, f"{index}/" if len(archives) > 1 else "")
        if contents is None or _is_big_endian(source, contents):
            continue
        opened += 1
        _add(result, source, contents)
    if not opened:
        raise Foreign("its elements are big-endian")
    return result


def _root(archive: Archive) -> str | None:
    """`x/` where the archive has `x/data.pkl`; the shortest, should one archive hold another's records."""
    roots = [m.name.removesuffix(PICKLE) for m in archive.members if m.name.endswith("/" + PICKLE)]
    return min(roots, key=len, default=None)


def _contents(archive: Archive, label: str) -> _Contents | None:
    root = _root(archive)
    if root is None:
        return None
    records = {member.name.removeprefix(root): member for member in archive.members if member.name.startswith(root)}
    storages = {
        name.removeprefix("data/"): member
        for name, member in records.items()
        if name.startswith("data/") and member.stored
    }
    return _Contents(label, records[PICKLE], records.get("byteorder"), storages)


def _is_big_endian(source: Source, contents: _Contents) -> bool:
    member = contents.byteorder
    return member is not None and source.read_at(member.data_offset, min(member.size, 16)).strip() == b"big"


def _add(result: Proposal, source: Source, contents: _Contents) -> None:
    reading = _read_pickle(source, contents.pickle)
    tensors, elements = _tensors(result, contents, reading)
    described = {tensor.offset for tensor in tensors}
    for key, member in contents.storages.items():
        storage = reading.storages.get(key, Storage(key, None))
        element = DTYPES[storage.dtype] if storage.dtype else elements.get(key)
        if element is not None:
            result.spans.append(Region(member.data_offset, member.size - member.size % element.width, element))
        else:
            result.spans.extend(sniff_span(source, member.data_offset, member.size))
        if member.data_offset not in described and member.size:
            tensors.append(_whole_storage(contents.label, storage, member))
    result.tensors.extend(tensors)


def _read_pickle(source: Source, member: Member) -> Reading:
    nothing = Reading(None, {})
    if member.size > PICKLE_BYTES_MAX:
        return nothing
    data = source.read_at(member.data_offset, member.size)
    if member.stored:
        return read_pickle(data)
    if member.compression != DEFLATED:
        return nothing
    try:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        data = unpacker.decompress(data, PICKLE_BYTES_MAX)
    except zlib.error:
        return nothing
    return read_pickle(data) if unpacker.eof else nothing


def _tensors(result: Proposal, contents: _Contents, reading: Reading) -> tuple[list[Tensor], dict[str, Element]]:
    """The dense tensors, and the elements of storages that only tensors know the dtype of."""
    tensors: list[Tensor] = []
    elements: dict[str, Element] = {}
    try:
        named = list(name_tensors(reading.root))
    except Foreign:
        return [], {}
    outside = 0
    for name, ref in named:
        member = contents.storages.get(ref.storage.key)
        if member is None or ref.dtype is None:
            continue
        elements.setdefault(ref.storage.key, DTYPES[ref.dtype])
        tensor = _dense_tensor(contents.label + (name or f"data/{ref.storage.key}"), ref, member)
        if tensor is not None and tensor.offset + tensor.nbytes > member.data_offset + member.size:
            outside += 1
        elif tensor is not None:
            tensors.append(tensor)
    if outside:
        result.problems.append(f"{outside} tensors reach beyond their storage")
    return tensors, elements


def _dense_tensor(name: str, ref: TensorRef, member: Member) -> Tensor | None:
    """None for a view with gaps: the bytes of such a tensor are no range of the file."""
    assert ref.dtype is not None
    c_order = is_c_order(ref.shape, ref.strides) or 0 in ref.shape
    if not c_order and not is_fortran_order(ref.shape, ref.strides):
        return None
    width = bytes_per_element(ref.dtype)
    nbytes = element_count(ref.shape, 1 << 62) * width
    return Tensor(name, ref.dtype, ref.shape, member.data_offset + ref.offset * width, nbytes, fortran=not c_order)


def _whole_storage(label: str, storage: Storage, member: Member) -> Tensor:
    name = f"{label}data/{storage.key}"
    dtype = storage.dtype or "u8"
    width = bytes_per_element(dtype)
    if member.size % width:
        dtype, width = "u8", 1
    return Tensor(name, dtype, (member.size // width,), member.data_offset, member.size)
