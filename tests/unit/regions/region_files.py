"""Writers of small files for these tests, and checks that every layout must pass."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.vault.regions.cutting import cut
from holdfast.vault.regions.model import Element, Kind, Layout, Region
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import BytesSource

FIXTURES = Path(__file__).parents[2] / "fixtures"
F32 = Element(Kind.FLOAT, 4)
BF16 = Element(Kind.FLOAT, 2)
I64 = Element(Kind.INT, 8)


def layout_of(data: bytes, name: str = "file") -> Layout:
    """The proposed layout, which is checked to cover the file."""
    layout = propose_layout(BytesSource(data), name)
    check_cover(layout.regions, len(data))
    for tensor in layout.tensors:
        assert 0 <= tensor.offset <= tensor.offset + tensor.nbytes <= len(data)
    return layout


def check_cover(regions: Sequence[Region], size: int) -> None:
    end = 0
    for region in regions:
        assert region.offset == end
        assert region.length > 0
        assert region.length % region.element.width == 0
        end = region.end
    assert end == size


def elements_at(layout: Layout, offset: int) -> Element:
    return next(region.element for region in layout.regions if region.offset <= offset < region.end)


def labels_of(data: bytes, name: str, **sizes: int) -> list[str]:
    source = BytesSource(data)
    return [piece.label for piece in cut(propose_layout(source, name), source, **sizes)]


def safetensors_file(header: dict[str, Any] | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def zip_file(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


class StorageKind:
    """Pickles as `torch.<name>`: a class of storages."""

    def __init__(self, name: str) -> None:
        self.name = name


class Persistent:
    """Pickles as the persistent id of a storage."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.identity = ("storage", StorageKind(kind), key, "cpu", count)


class Call:
    """Pickles as a call of `function`, given as (module, name), that is not made here."""

    def __init__(self, function: tuple[str, str], *arguments: object) -> None:
        self.function = function
        self.arguments = arguments


class TorchPickler(pickle._Pickler):
    """The pickler in Python, taught to write names of modules that are not installed."""

    def persistent_id(self, value: Any) -> Any:
        return value.identity if isinstance(value, Persistent) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, StorageKind):
            self._write_name("torch", obj.name)
        elif isinstance(obj, Call):
            self._write_name(*obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def _write_name(self, module: str, name: str) -> None:
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())


def torch_pickle(value: object, protocol: int = 2) -> bytes:
    target = io.BytesIO()
    TorchPickler(target, protocol).dump(value)
    return target.getvalue()


def tensor_call(
    kind: str, key: str, count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> Call:
    storage = Persistent(kind, key, count)
    return Call(("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, strides, False, ())


def torch_file(value: object, storages: dict[str, bytes], byteorder: bytes = b"little") -> bytes:
    members = {"x/data.pkl": torch_pickle(value), "x/byteorder": byteorder}
    return zip_file(members | {f"x/data/{key}": content for key, content in storages.items()})


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_file(
    tensors: list[tuple[str, tuple[int, ...], int, int]], data: bytes, *, version: int = 3, values: Sequence[bytes] = ()
) -> bytes:
    """`tensors`: name, dimensions as GGUF lists them (fastest first), ggml type, offset in `data`."""
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values)
    for name, dimensions, kind, offset in tensors:
        header += gguf_text(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        header += struct.pack("<IQ", kind, offset)
    return header + bytes(-len(header) % 32) + data


def weights(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Normal weights with the spread of a trained layer's."""
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype(np.float32)
