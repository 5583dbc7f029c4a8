"""Plain values as JSON and back, exactly: what JSON cannot say has an object with one key that begins with `$`.

| value | JSON |
|---|---|
| `None`, `bool`, text, finite numbers | as they are; whole numbers beyond ±2^53 as `{"$int": "…"}` |
| NaN, ±infinity | `{"$float": "7ff8000000000000"}`, the bits of an IEEE 754 double |
| `complex` | `{"$complex": […, …]}`, both parts as above |
| `bytes` | `{"$bytes": base64}` |
| text that is no UTF-8 | `{"$text": base64}` of UTF-8 with surrogates passed |
| NumPy scalar | `{"$scalar": ["float32", hex of its bytes, little-endian]}` |
| `torch.dtype`, `torch.device`, `torch.Size` | `{"$torch.dtype": "bfloat16"}`, `{"$torch.device": "cuda:0"}`, `{"$torch.Size": […]}` |
| `numpy.dtype` | `{"$numpy.dtype": "<f4"}` |
"""  # noqa: E501 - a table

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from holdfast.errors import DamageError, HoldfastError, MissingExtraError
from holdfast.training.states.arrays import safetensors_name

__all__ = ["NOT_PLAIN", "plain_node", "plain_value", "PLAIN_MARKS", "malformed", "torch_module"]

NOT_PLAIN = object()
_EXACT = 1 << 53  # whole numbers up to here survive every JSON parser
_INT_DIGITS_MAX = 4300  # what Python converts by default


def plain_node(value: Any) -> Any:
    """The JSON of a plain value, or NOT_PLAIN. Subclasses of numbers and text (an `IntEnum`) lose their class."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, np.generic):
        return _scalar_node(value)
    if isinstance(value, int):
        number = int(value)
        return number if -_EXACT <= number <= _EXACT else {"$int": hex(number)}
    if isinstance(value, float):
        real = float(value)
        return real if math.isfinite(real) else {"$float": struct.pack(">d", real).hex()}
    if isinstance(value, str):
        return _text_node(str.__str__(value))
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex):
        return {"$complex": [plain_node(value.real), plain_node(value.imag)]}
    if isinstance(value, np.dtype) and not value.hasobject and value.names is None:
        return {"$numpy.dtype": value.str if value.isbuiltin == 1 else value.name}
    if type(value).__module__ == "torch":
        return _torch_node(value)
    return NOT_PLAIN


def plain_value(mark: str, content: Any) -> Any:
    """What an object `{mark: content}` means. Raises DamageError for content that `plain_node` never writes."""
    try:
        return _READERS[mark](content)
    except HoldfastError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, binascii.Error, struct.error) as error:
        raise malformed(f"{mark} holds {_shortened(content)}") from error


def malformed(what: str) -> DamageError:
    """The error of a state's JSON that no Holdfast wrote."""
    return DamageError(f"the tree of the state is malformed: {what}")


def torch_module() -> Any:
    """Raises MissingExtraError."""
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError(
            "the state holds values of PyTorch, which is not installed", hint="pip install 'holdfast[torch]'"
        ) from error
    return torch


def _scalar_node(value: np.generic) -> Any:
    array = np.asarray(value)
    try:
        safetensors_name(array.dtype, "")
    except HoldfastError:
        return NOT_PLAIN
    little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
    return {"$scalar": [little.dtype.name, little.tobytes().hex()]}


def _text_node(text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"$text": base64.b64encode(text.encode(errors="surrogatepass")).decode()}
    return text


def _torch_node(value: Any) -> Any:
    kind = type(value).__name__
    if kind in ("dtype", "device"):
        return {f"$torch.{kind}": str(value).removeprefix("torch.")}
    return {"$torch.Size": [int(edge) for edge in value]} if kind == "Size" else NOT_PLAIN


def _dtype_named(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        if not name.startswith(("bfloat", "float", "int", "uint")):
            raise
        extended: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return extended


def _read_numpy_dtype(name: str) -> Any:
    dtype = _dtype_named(_checked(name, str))
    if dtype.hasobject or dtype.names is not None:
        raise ValueError
    return dtype


def _read_scalar(content: Any) -> Any:
    name, data = content
    dtype = _dtype_named(name)
    if dtype.hasobject or dtype.names is not None:
        raise ValueError
    raw = bytes.fromhex(data)
    if len(raw) != dtype.itemsize:
        raise ValueError
    return np.frombuffer(raw, dtype)[0]


def _read_int(text: str) -> int:
    if len(_checked(text, str)) > _INT_DIGITS_MAX * 4:
        raise ValueError
    return int(text, 16)


def _read_torch_dtype(name: str) -> Any:
    torch = torch_module()
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise TypeError
    return found


def _read_device(name: str) -> Any:
    try:
        return torch_module().device(_checked(name, str))
    except RuntimeError as error:
        raise ValueError(name) from error


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _read_part(part: Any) -> float:
    if isinstance(part, dict):
        return float(plain_value("$float", part["$float"]))
    return float(_checked(part, (int | float)))  # type: ignore[arg-type]


def _read_complex(content: Any) -> complex:
    real, imaginary = content
    return complex(_read_part(real), _read_part(imaginary))


def _shortened(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 60 else f"{text[:57]}…"


_READERS: dict[str, Callable[[Any], Any]] = {
    "$int": _read_int,
    "$float": lambda bits: struct.unpack(">d", bytes.fromhex(bits))[0],
    "$complex": _read_complex,
    "$bytes": lambda text: base64.b64decode(_checked(text, str), validate=True),
    "$text": lambda text: base64.b64decode(_checked(text, str), validate=True).decode(errors="surrogatepass"),
    "$scalar": _read_scalar,
    "$numpy.dtype": _read_numpy_dtype,
    "$torch.dtype": _read_torch_dtype,
    "$torch.device": _read_device,
    "$torch.Size": lambda edges: torch_module().Size([_checked(edge, int) for edge in edges]),
}
PLAIN_MARKS = frozenset(_READERS)
