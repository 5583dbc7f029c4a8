"""Files of strangers that are saved: formats of tensors, archives, pickles, and files that nobody knows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz.model import Broken, Target
from holdfast.vault.regions import gguf, npy, npz, safetensors, torch_zip
from holdfast.vault.regions.cutting import cut_and_read
from holdfast.vault.regions.model import DTYPES, HOLE, Source
from holdfast.vault.regions.proposal import Foreign, Proposal
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.sniff import SNIFF_BYTES_MIN, sniff_span
from holdfast.vault.regions.source import BytesSource
from holdfast.vault.regions.torch_names import name_tensors
from holdfast.vault.regions.torch_pickle import read_pickle
from holdfast.vault.regions.zip_archives import read_archives

__all__ = ["TARGETS"]

_FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
_NAMES = ("x.safetensors", "x.npy", "x.npz", "x.gguf", "x.pt", "caf\udce9")
_ZIP = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x01\x02",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"data.pkl",
    b"/data/0",
    b"byteorder",
)
_PICKLE = (
    b"\x80\x02",
    b"(",
    b"t",
    b"Q",
    b"R",
    b"}",
    b"u",
    b"2\x86",
    b"2\x86" * 60,
    b")2\x86",
    b"\x93",
    b"ctorch\nFloatStorage\n",
)
_PICKLE += (b"\x8a\xff", b"\x94", b"h\x00", b"]", b"a", b"e", b"\x8c\x01a", b"0", b"b", b"\x81", b"\x8f", b"\x90", b".")


def _parser(parse: Callable[[Source], Proposal]) -> Callable[[bytes], None]:
    """A parser declines in the two ways that it promises, and proposes spans of whole elements."""

    def run(data: bytes) -> None:
        proposal = parse(BytesSource(data))
        if any(span.length % span.element.width for span in proposal.spans):
            raise Broken("a span ends within an element")
        for tensor in proposal.tensors:
            tensor.name.encode()

    return run


def _torch(source: Source) -> Proposal:
    archives = read_archives(source)
    if not torch_zip.is_torch(archives):
        raise Foreign("it is no file of torch.save")
    return torch_zip.propose(source, archives)


def _npz(source: Source) -> Proposal:
    archives = read_archives(source)
    if not npz.is_npz(archives):
        raise Foreign("it is no npz file")
    return npz.propose(source, archives)


def _layout(data: bytes) -> None:
    """First byte: the file's name. Whatever the bytes, regions and chunks cover them."""
    name, content = _NAMES[(data[0] if data else 0) % len(_NAMES)], data[1:]
    source = BytesSource(content)
    layout = propose_layout(source, name)
    end = 0
    for region in layout.regions:
        if region.offset != end or region.length <= 0 or region.length % region.element.width:
            raise Broken(f"{region} does not follow on byte {end}")
        end = region.end
    if end != len(content):
        raise Broken(f"regions end at {end} of {len(content)}")
    if any("the parser" in problem for problem in layout.problems):
        raise Broken(f"a parser failed in a way that it does not know of: {layout.problems}")
    for tensor in layout.tensors:
        if not 0 <= tensor.offset <= tensor.offset + tensor.nbytes <= len(content):
            raise Broken(f"{tensor} lies outside of its file")
        tensor.name.encode()
    if len({tensor.name for tensor in layout.tensors}) != len(layout.tensors):
        raise Broken("two tensors have one name")
    joined = bytearray()
    for piece, chunk in cut_and_read(layout, source, chunk_bytes=512, opaque_average=1024):
        joined += bytes(piece.length) if piece.element == HOLE else chunk
    if joined != content:
        raise Broken("the chunks of a file are not the file")


def _pickle(data: bytes) -> None:
    reading = read_pickle(data)
    for name, tensor in name_tensors(reading.root):
        name.encode("utf-8", "surrogatepass")
        if tensor.dtype is not None and tensor.dtype not in DTYPES:
            raise Broken(f"{name!r} has the unknown dtype {tensor.dtype}")


def _sniff(data: bytes) -> None:
    """The input is repeated until it is long enough to be looked at. First byte: where the span begins."""
    offset, content = (data[0] if data else 0), data[1:] or b"\0"
    whole = content * (SNIFF_BYTES_MIN // len(content) + 1) + bytes(offset)
    length = len(whole) - offset
    for region in sniff_span(BytesSource(whole), offset, length):
        if region.offset < offset or region.end > offset + length or region.length % region.element.width:
            raise Broken(f"{region} lies outside of [{offset}, {offset + length})")


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"w": rng.normal(size=(9, 7)).astype("f4"), "b": rng.normal(size=5).astype("f2"), "none": np.zeros((0, 2))}


def _safetensors() -> bytes:
    header, body = [], b""
    for name, array in _arrays().items():
        dtype = {"f": "F", "i": "I"}[array.dtype.kind] + str(8 * array.itemsize)
        places = f"[{len(body)},{len(body) + array.nbytes}]"
        header.append(f'"{name}":{{"dtype":"{dtype}","shape":{list(array.shape)},"data_offsets":{places}}}')
        body += array.tobytes()
    text = ('{"__metadata__":{"a":"b"},' + ",".join(header) + "}").encode()
    return len(text).to_bytes(8, "little") + text + body


def _npy_file(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def _npz_file() -> bytes:
    target = io.BytesIO()
    np.savez(target, **_arrays())
    return target.getvalue()


def _torch_files() -> list[bytes]:
    files = [path.read_bytes() for path in sorted((_FIXTURES / "torch").iterdir()) if path.suffix in (".pt", ".distcp")]
    return [data for data in files if data.startswith(b"PK")]


def _pickles() -> list[bytes]:
    found = []
    for data in _torch_files():
        source = BytesSource(data)
        for archive in read_archives(source):
            found += [
                source.read_at(one.data_offset, one.size) for one in archive.members if one.name.endswith("data.pkl")
            ]
    return found


def _gguf_file() -> bytes:
    return (_FIXTURES / "gguf" / "small.gguf").read_bytes()


def _layout_seeds() -> list[bytes]:
    files = [_safetensors(), _npy_file(_arrays()["w"]), _npz_file(), _gguf_file(), *_torch_files()]
    return [bytes([min(number, 5)]) + data for number, data in enumerate(files)]


_JSON = (b'"dtype"', b'"shape"', b'"data_offsets"', b"[0,", b"18446744073709551615", b"-1", b'"F32"', b'"__metadata__"')

TARGETS = [
    Target("safetensors", "`safetensors.parse`", _parser(safetensors.parse), lambda: [_safetensors()], _JSON),
    Target(
        "npy",
        "`npy.parse`",
        _parser(npy.parse),
        lambda: [_npy_file(_arrays()["w"]), _npy_file(np.zeros(3, "i8"))],
        (b"'descr'", b"'fortran_order'", b"'shape'", b"(", b"<f4", b">f4", b"|O", b"True", b",", b"L"),
    ),
    Target("npz", "`read_archives`, `npz.propose`", _parser(_npz), lambda: [_npz_file()], _ZIP),
    Target("torch-zip", "`read_archives`, `torch_zip.propose`", _parser(_torch), _torch_files, _ZIP + _PICKLE),
    Target("torch-pickle", "`read_pickle`, `name_tensors`", _pickle, _pickles, _PICKLE),
    Target("gguf", "`gguf.parse`", _parser(gguf.parse), lambda: [_gguf_file()], (b"GGUF", b"general.alignment")),
    Target(
        "sniff", "`sniff_span`", _sniff, lambda: [b"\0" + _arrays()["w"].tobytes(), b"\3" + _arrays()["b"].tobytes()]
    ),
    Target(
        "layout", "`propose_layout`, `cover`, `coalesce`, `thin`, `cut_and_read`", _layout, _layout_seeds, _ZIP + _JSON
    ),
]
