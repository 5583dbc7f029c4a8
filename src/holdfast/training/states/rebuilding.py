"""The state again, from `state.json` and its tensors. What is read is checked: only what a state may hold is made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.training.states.arrays import Array, as_framework
from holdfast.training.states.files import FORMAT
from holdfast.training.states.plain import PLAIN_MARKS, malformed, plain_value, torch_module
from holdfast.training.states.tree import DEPTH_MAX
from holdfast.vault.tensors.dtypes import SAFETENSORS, numpy_dtype

__all__ = ["TensorKey", "read_tree", "tensors_of", "rebuild"]

TensorKey = tuple[str, str]  # file, name
_DTYPES = {numpy_dtype(name).name: numpy_dtype(name) for name in (*SAFETENSORS, "c128")}
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_EDGE_MAX = 1 << 62
_DIMENSIONS_MAX = 64  # of NumPy and of torch


class _Node(NamedTuple):
    """A tensor in the tree. `dtype` and the others: None where the saved tensor is meant as it is."""

    key: TensorKey
    framework: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] | None
    strides: tuple[int, ...]
    offset: int


def read_tree(document: bytes) -> Any:
    """The tree in the bytes of `state.json`. Raises DamageError, UnsupportedFormatError."""
    try:
        whole = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed("it is no JSON") from error
    if not isinstance(whole, dict) or "tree" not in whole:
        raise malformed("it has no tree")
    if whole.get("format") != FORMAT:
        raise UnsupportedFormatError(f"the state has the format {str(whole.get('format'))[:40]!r}, not {FORMAT!r}")
    return whole["tree"]


def tensors_of(tree: Any) -> Iterator[TensorKey]:
    """The file and name of every tensor in the tree, some perhaps more than once. Raises DamageError."""
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > 3 * DEPTH_MAX:
            raise malformed("it is nested too deep")
        if isinstance(node, dict):
            if "$tensor" in node:
                yield _parsed(node).key
                continue
            pending.extend((inner, depth + 1) for inner in node.values())
        elif isinstance(node, list):
            pending.extend((inner, depth + 1) for inner in node)


def rebuild(tree: Any, read: Callable[[TensorKey], Array]) -> Any:
    """The state. `read` gives the array of a saved tensor: contiguous, writable; it is asked once for each.

    Tensors that shared memory share it, those of torch in one storage. Raises DamageError for a tree that is malformed
    or does not fit its tensors, MissingExtraError when the framework of a tensor is not installed.
    """
    try:
        return _Rebuilding(read).value(tree, 0)
    except RecursionError as error:
        raise malformed("it is nested too deep") from error


class _Rebuilding:
    def __init__(self, read: Callable[[TensorKey], Array]) -> None:
        self._read = read
        self._bases: dict[TensorKey, Array] = {}
        self._tensors: dict[tuple[TensorKey, str], Any] = {}
        self._marks: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "$tuple": self._tuple,
            "$ordered": self._ordered,
            "$dict": self._dict,
            "$set": self._set,
            "$enum": lambda node, depth: self.value(node["$enum"], depth),
            "$tensor": lambda node, depth: self._tensor(_parsed(node)),
            "$torch.Generator": self._torch_generator,
            "$numpy.Generator": self._numpy_generator,
        }

    def value(self, node: Any, depth: int) -> Any:
        if depth > 3 * DEPTH_MAX:
            raise malformed("it is nested too deep")
        if isinstance(node, list):
            return [self.value(inner, depth + 1) for inner in node]
        if not isinstance(node, dict):
            return node
        mark = next(iter(node), "")
        if not mark.startswith("$"):
            return {key: self.value(inner, depth + 1) for key, inner in node.items()}
        if mark in PLAIN_MARKS and len(node) == 1:
            return plain_value(mark, node[mark])
        if mark not in self._marks:
            raise malformed(f"{mark[:40]!r} means nothing")
        return self._marks[mark](node, depth + 1)

    def _tuple(self, node: dict[str, Any], depth: int) -> Any:
        return tuple(self.value(inner, depth) for inner in _list(node["$tuple"]))

    def _ordered(self, node: dict[str, Any], depth: int) -> Any:
        body = node["$ordered"]
        if not isinstance(body, dict):
            raise malformed("an ordered mapping is none")
        ordered: Any = OrderedDict((key, self.value(inner, depth)) for key, inner in body.items())
        if "metadata" in node:
            ordered._metadata = self.value(node["metadata"], depth)
        return ordered

    def _dict(self, node: dict[str, Any], depth: int) -> Any:
        found = {}
        for pair in _list(node["$dict"]):
            if not isinstance(pair, list) or len(pair) != 2:
                raise malformed("a mapping has something else than pairs")
            found[self._hashable(pair[0], depth)] = self.value(pair[1], depth)
        return found

    def _set(self, node: dict[str, Any], depth: int) -> Any:
        return {self._hashable(one, depth) for one in _list(node["$set"])}

    def _hashable(self, node: Any, depth: int) -> Any:
        key = self.value(node, depth)
        try:
            hash(key)
        except TypeError as error:
            raise malformed("a key is a list or a mapping") from error
        return key

    def _tensor(self, node: _Node) -> Any:
        kept = (node.key, node.framework)
        if node.shape is not None:
            return self._view(node)
        if kept not in self._tensors:
            base = self._base(node.key)
            if node.dtype is not None:  # complex128, saved as pairs
                base = _pairs(base, node)
            if node.framework == "torch":
                kind = as_framework(np.empty(0, base.dtype), "torch").dtype
                self._tensors[kept] = self._torch_octets(node.key).view(kind).view(base.shape)
            else:
                self._tensors[kept] = as_framework(base, node.framework)
        tensor = self._tensors[kept]
        return tensor.view(tensor.shape) if node.framework == "torch" else tensor

    def _base(self, key: TensorKey) -> Array:
        if key not in self._bases:
            self._bases[key] = self._read(key)
        return self._bases[key]

    def _view(self, node: _Node) -> Any:
        base, shape, dtype = self._base(node.key), node.shape, node.dtype
        octets = base.reshape(-1).view(np.uint8)
        try:
            view: Array = np.ndarray(shape or (), dtype, octets.data, node.offset, node.strides)
        except (ValueError, TypeError) as error:
            raise malformed(f"a view does not fit {node.key[1][:80]!r}") from error
        if node.framework != "torch":
            return as_framework(view, node.framework)
        return self._torch_view(node, view)

    def _torch_view(self, node: _Node, view: Array) -> Any:
        torch, size = torch_module(), view.dtype.itemsize
        if node.offset % size or any(stride % size for stride in node.strides):
            return as_framework(np.ascontiguousarray(view), "torch")
        kind = as_framework(np.empty(0, view.dtype), "torch").dtype
        steps = [stride // size for stride in node.strides]
        storage = self._torch_octets(node.key).untyped_storage()
        return torch.empty(0, dtype=kind).set_(storage, node.offset // size, view.shape, steps)

    def _torch_octets(self, key: TensorKey) -> Any:
        """All bytes of a saved tensor as one of torch: what shares memory has one storage."""
        kept = (key, "octets of torch")
        if kept not in self._tensors:
            self._tensors[kept] = as_framework(self._base(key).reshape(-1).view(np.uint8), "torch")
        return self._tensors[kept]

    def _torch_generator(self, node: dict[str, Any], depth: int) -> Any:
        torch = torch_module()
        try:
            generator = torch.Generator(device=plain_value("$torch.device", node.get("device", "cpu")))
            generator.set_state(self.value(node["$torch.Generator"], depth))
        except (RuntimeError, TypeError) as error:
            raise DamageError(f"the generator of the state cannot be made here ({_line(error)})") from error
        return generator

    def _numpy_generator(self, node: dict[str, Any], depth: int) -> Any:
        state = self.value(node["$numpy.Generator"], depth)
        name = state.get("bit_generator") if isinstance(state, dict) else None
        if name not in _BIT_GENERATORS:
            raise malformed("a generator of NumPy is of an unknown kind")
        made = getattr(np.random, name)()
        try:
            made.state = state
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise malformed("the state of a generator of NumPy does not fit") from error
        return np.random.Generator(made)


def _parsed(node: dict[str, Any]) -> _Node:
    key, dtype = node["$tensor"], node.get("dtype")
    if not isinstance(key, list) or len(key) != 2 or not all(isinstance(one, str) for one in key):
        raise malformed("a tensor has no file and name")
    framework = node.get("of")
    if framework not in ("torch", "numpy", "jax"):
        raise malformed("a tensor is of no framework that is known")
    if dtype is not None and (not isinstance(dtype, str) or dtype not in _DTYPES):
        raise malformed("a tensor has an unknown dtype")
    known = None if dtype is None else _DTYPES[dtype]
    if "shape" not in node:
        return _Node((key[0], key[1]), framework, known, None, (), 0)
    shape, strides = _whole_numbers(node["shape"]), _whole_numbers(node.get("strides"))
    [offset] = _whole_numbers([node.get("offset")])
    if known is None or len(shape) != len(strides) or len(shape) > _DIMENSIONS_MAX:
        raise malformed("a view has no dtype, or other strides than dimensions")
    return _Node((key[0], key[1]), framework, known, shape, strides, offset)


def _whole_numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(one) is int and 0 <= one < _EDGE_MAX for one in values):
        raise malformed("a view lacks its shape, strides or offset")
    return tuple(values)


def _pairs(base: Array, node: _Node) -> Array:
    if node.dtype != np.dtype("<c16") or base.dtype != np.dtype("<f8") or base.shape[-1:] != (2,):
        raise malformed(f"{node.key[1][:80]!r} does not hold pairs of numbers")
    return base.view(node.dtype).reshape(base.shape[:-1])


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise malformed("a list is none")
    return value


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
