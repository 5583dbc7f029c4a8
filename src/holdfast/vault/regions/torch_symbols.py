"""The symbols that stand for values while a PyTorch pickle is read, and the few calls that are understood.

Sources: `torch/_utils.py` for the functions that rebuild tensors, `torch/serialization.py` for the persistent ids.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.vault.regions.proposal import Foreign
from holdfast.vault.regions.shapes import DIMENSIONS_MAX

__all__ = ["HOLDERS", "Global", "Storage", "TensorRef", "Mapping", "Thing", "call", "extend", "set_items", "storage_of"]


class Global(NamedTuple):
    """A name in a module, that is not looked up."""

    module: str
    name: str


class Storage(NamedTuple):
    """The bytes behind tensors: member `data/<key>` of the archive. `dtype` is None where the class names none."""

    key: str
    dtype: str | None


class TensorRef(NamedTuple):
    """A view of a storage. `offset` and `strides` count elements of `dtype`."""

    storage: Storage
    dtype: str | None
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Mapping:
    """A dict: those of its items whose values may lead to tensors."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[tuple[object, object]] = []


class Thing:
    """An object of any other class: the arguments and states that it was built from."""

    __slots__ = ("parts",)

    def __init__(self, *parts: object) -> None:
        self.parts: list[object] = list(parts)


_STORAGE_DTYPES: Final = {
    "DoubleStorage": "f64",
    "FloatStorage": "f32",
    "HalfStorage": "f16",
    "BFloat16Storage": "bf16",
    "LongStorage": "i64",
    "IntStorage": "i32",
    "ShortStorage": "i16",
    "CharStorage": "i8",
    "ByteStorage": "u8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "c64",
    "ComplexDoubleStorage": "c128",
    "QInt8Storage": "i8",
    "QUInt8Storage": "u8",
    "QInt32Storage": "i32",
    "QUInt4x2Storage": "u8",
    "QUInt2x4Storage": "u8",
}
_TORCH_DTYPES: Final = {  # of `_rebuild_tensor_v3`, which serves the dtypes that have no storage class
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8_e4m3",
    "float8_e4m3fnuz": "f8_e4m3fnuz",
    "float8_e5m2": "f8_e5m2",
    "float8_e5m2fnuz": "f8_e5m2fnuz",
    "float8_e8m0fnu": "f8_e8m0",
    "float4_e2m1fn_x2": "u8",  # one element is a byte with two numbers
    "complex64": "c64",
    "complex128": "c128",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint64": "u64",
    "uint32": "u32",
    "uint16": "u16",
    "uint8": "u8",
    "bool": "bool",
}
_REBUILD_TENSOR: Final = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}
_REBUILD_WRAPPED: Final = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_REBUILD_SUBCLASS: Final = {"_rebuild_from_type", "_rebuild_from_type_v2"}
_DICTS: Final = {"OrderedDict", "defaultdict", "Counter"}
# Values that can hold tensors. Whatever else stands in a dict is dropped at once.
HOLDERS: Final = frozenset({TensorRef, Mapping, Thing, list, tuple})


def extend(target: object, items: list[object]) -> None:
    if isinstance(target, Thing):
        target.parts.append(items)
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise Foreign("its pickle appends to what is no list")


def set_items(target: object, items: list[object]) -> None:
    if isinstance(target, Thing):  # a subclass of dict
        mapping = Mapping()
        target.parts.append(mapping)
        target = mapping
    if not isinstance(target, Mapping):
        raise Foreign("its pickle sets items of what is no dict")
    pairs = zip(items[::2], items[1::2], strict=True)
    target.items.extend((key, value) for key, value in pairs if type(value) in HOLDERS)


def storage_of(value: object) -> Storage | None:
    """From a persistent id `("storage", class, key, location, number of elements)`."""
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage":
        return None
    kind, key = value[1], value[2]
    if not isinstance(kind, Global) or not isinstance(key, str):
        return None
    return Storage(key, _STORAGE_DTYPES.get(kind.name))


def call(function: object, arguments: object) -> object:
    while isinstance(function, Global) and isinstance(arguments, tuple):
        name = function.name
        if name in _REBUILD_TENSOR:
            return _tensor(arguments, name == "_rebuild_tensor_v3")
        if name in _REBUILD_WRAPPED and arguments:
            return arguments[0]
        if name in _DICTS:
            return Mapping()
        if name not in _REBUILD_SUBCLASS or len(arguments) < 3:
            break
        function, arguments = arguments[0], arguments[2]
    return Thing(arguments)


def _tensor(arguments: tuple[object, ...], dtype_given: bool) -> object:
    """From (storage, offset, shape, strides, …, dtype at index 6 of version 3)."""
    if len(arguments) < (7 if dtype_given else 4):
        return Thing(arguments)
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Storage) or not isinstance(offset, int) or offset < 0:
        return Thing(arguments)
    sizes, steps = _integers(shape), _integers(strides)
    if sizes is None or steps is None or len(sizes) != len(steps):
        return Thing(arguments)
    dtype = storage.dtype
    if dtype_given:
        given = arguments[6]
        dtype = _TORCH_DTYPES.get(given.name) if isinstance(given, Global) else None
    return TensorRef(storage, dtype, offset, sizes, steps)


def _integers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, tuple) or len(value) > DIMENSIONS_MAX:
        return None
    integers = tuple(item for item in value if isinstance(item, int) and item >= 0)
    return integers if len(integers) == len(value) else None
