"""A state as files: `state.json`, and safetensors files beside it, one for each part of the state.

The tensors below a key at the top of the state go to `<key>.safetensors`, others to `tensors.safetensors`. A tensor's
name is its path below that key, with points between; where two would be called alike, the second has `~2` behind.

`state.json` is `{"format": "holdfast-state-1", "tree": …}`. A tensor in the tree is `{"$tensor": [file, name], "of":
framework}`: all of the saved tensor. With `"dtype"`, `"shape"`, `"strides"` and `"offset"` (the last two in bytes) it
is a view of its bytes: so tensors that share memory share it again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from holdfast.errors import UsageError
from holdfast.training.states.arrays import TensorForm
from holdfast.training.states.sharing import Leaf, Placed, View, share
from holdfast.training.states.tree import shown, take_apart

__all__ = ["FORMAT", "STATE_FILE", "OTHERS", "SUFFIX", "Piece", "TensorFile", "StateFiles", "plan_files"]

FORMAT = "holdfast-state-1"
STATE_FILE = "state.json"
OTHERS = "tensors"
SUFFIX = ".safetensors"
_RESERVED = "__metadata__"  # of the safetensors header
_LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_HEADER_BYTES_MAX = 100_000_000  # the reference implementation refuses more
_COMPLEX128 = np.dtype("<c16")


class Piece(NamedTuple):
    """A saved tensor: `value` is a framework's tensor of `form`; its bytes begin at `offset` of the file's data."""

    name: str
    value: Any
    form: TensorForm
    offset: int


class TensorFile(NamedTuple):
    """One safetensors file: the bytes `header`, and behind it the pieces without gaps, `data_bytes` of them."""

    name: str
    header: bytes
    pieces: list[Piece]
    data_bytes: int


class StateFiles(NamedTuple):
    """What a state becomes. `document`: the bytes of `state.json`."""

    document: bytes
    files: list[TensorFile]

    @property
    def tensor_bytes(self) -> int:
        return sum(file.data_bytes for file in self.files)


def plan_files(state: Any) -> StateFiles:
    """The files of a state; no byte of a tensor is read. Raises UsageError naming what has no safe form."""
    taken = take_apart(state)
    files: dict[str, dict[str, Placed]] = {}
    for placed in share(taken.leaves):
        file, name = _named(placed.members[0][0], files)
        files.setdefault(file, {})[name] = placed
        for leaf, view in placed.members:
            leaf.node.update(_tensor_node(file, name, leaf, view))
    document = msgspec.json.encode({"format": FORMAT, "tree": taken.tree})
    return StateFiles(document, [_tensor_file(file, named) for file, named in sorted(files.items())])


def _named(leaf: Leaf, files: dict[str, dict[str, Placed]]) -> tuple[str, str]:
    part, inner = (leaf.path[0], leaf.path[1:]) if len(leaf.path) > 1 else (OTHERS, leaf.path)
    if part != OTHERS and not _is_legal(part):
        part, inner = OTHERS, leaf.path
    file = f"{part}{SUFFIX}"
    name = ".".join(inner) or "value"
    if not name.isascii():
        name = name.encode(errors="backslashreplace").decode()
    if name == _RESERVED:
        name += "~1"
    taken, number, unique = files.get(file, {}), 1, name
    while unique in taken:
        number += 1
        unique = f"{name}~{number}"
    return file, unique


@lru_cache(maxsize=1024)
def _is_legal(part: str) -> bool:
    return _LEGAL.fullmatch(part) is not None


def _tensor_node(file: str, name: str, leaf: Leaf, view: View | None) -> dict[str, Any]:
    node: dict[str, Any] = {"$tensor": [file, name], "of": leaf.form.framework}
    if view is not None:
        node |= {
            "dtype": leaf.form.dtype.name,
            "shape": leaf.form.shape,
            "strides": view.strides,
            "offset": view.offset,
        }
    elif leaf.form.dtype == _COMPLEX128:
        node["dtype"] = "complex128"
    return node


def _tensor_file(name: str, named: dict[str, Placed]) -> TensorFile:
    # By the sizes of their elements, as the format advises: so every tensor is aligned to its element.
    pieces: list[Piece] = []
    header: dict[str, Any] = {}
    position = 0
    for key in sorted(named, key=lambda key: (-named[key].form.dtype.itemsize, key)):
        form = named[key].form
        pieces.append(Piece(key, named[key].value, form, position))
        shape = (*form.shape, 2) if form.dtype == _COMPLEX128 else form.shape
        end = position + form.nbytes
        header[key] = {"dtype": form.stored, "shape": shape, "data_offsets": (position, end)}
        position = end
    text = msgspec.json.encode(header)
    if len(text) > _HEADER_BYTES_MAX:
        raise UsageError(
            f"{shown((name.removesuffix(SUFFIX),))} holds {len(pieces)} tensors, more than a safetensors file can name",
            hint="put them below several keys at the top of the state",
        )
    text += b" " * (-len(text) % 8)
    return TensorFile(name, len(text).to_bytes(8, "little") + text, pieces, position)
