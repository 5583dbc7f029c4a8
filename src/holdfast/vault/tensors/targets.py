"""A caller's own memory, as the array that is read into it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from holdfast.errors import MissingExtraError, UsageError

__all__ = ["target_array", "as_torch"]

Array = np.ndarray[Any, np.dtype[Any]]


def target_array(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> Array:
    """An array of that dtype and shape over `buffer`, which shares its memory.

    `buffer` is a NumPy array or a PyTorch tensor on the CPU, of the same dtype and shape, or any other object with a
    buffer (`bytearray`, `memoryview`, `mmap`) of the same number of bytes. Raises UsageError when it is none of those,
    read-only, not contiguous in C order, or of another size, dtype or shape.
    """
    if _is_torch(buffer):
        return _over_torch(buffer, dtype, shape, name)
    if isinstance(buffer, np.ndarray):
        if buffer.dtype != dtype or buffer.shape != shape:
            raise UsageError(
                f"{name!r} is {dtype}{list(shape)}, the array to read it into {buffer.dtype}{list(buffer.shape)}",
                hint="allocate it as `numpy.empty(tensor.shape, tensor.dtype)`",
            )
        _refuse(name, writable=buffer.flags.writeable, contiguous=buffer.flags.c_contiguous)
        return buffer
    try:
        view = memoryview(buffer)
    except TypeError as error:
        raise UsageError(
            f"{name!r} cannot be read into a {type(buffer).__name__}", hint="give an array, or an object with a buffer"
        ) from error
    _refuse(name, writable=not view.readonly, contiguous=view.c_contiguous)
    size = math.prod(shape) * dtype.itemsize
    if view.nbytes != size:
        raise UsageError(f"{name!r} has {size} bytes, the buffer to read it into {view.nbytes}")
    return np.ndarray(shape, dtype, view)


def as_torch(array: Array) -> Any:
    """The same memory as a PyTorch tensor. Raises MissingExtraError (no PyTorch), UsageError for a dtype it lacks."""
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("PyTorch is not installed", hint="install `torch`, or use the NumPy array") from error
    kind = getattr(torch, array.dtype.name, None)
    if kind is None:
        raise UsageError(f"this PyTorch has no dtype {array.dtype}")
    plain = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return torch.from_numpy(plain).view(kind).reshape(array.shape)


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _over_torch(tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> Array:
    import torch

    if str(tensor.device) != "cpu":
        raise UsageError(
            f"{name!r} cannot be read into a tensor on {tensor.device}", hint="read it on the CPU, then copy"
        )
    if str(tensor.dtype) != f"torch.{dtype.name}" or tuple(tensor.shape) != shape:
        raise UsageError(
            f"{name!r} is {dtype}{list(shape)}, the tensor to read it into {tensor.dtype}{list(tensor.shape)}"
        )
    _refuse(name, writable=True, contiguous=tensor.is_contiguous())
    plain: Array = tensor.detach().reshape(-1).view(torch.uint8).numpy()
    return plain.view(dtype).reshape(shape)


def _refuse(name: str, *, writable: bool, contiguous: bool) -> None:
    if not writable:
        raise UsageError(f"{name!r} cannot be read into memory that is read-only")
    if not contiguous:
        raise UsageError(f"{name!r} cannot be read into memory that is not contiguous in C order")
