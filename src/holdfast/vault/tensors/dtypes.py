"""Names of dtypes: ours (as in manifests), NumPy's, and those of the safetensors format."""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.errors import UsageError

__all__ = ["numpy_dtype", "name_of", "SAFETENSORS"]

# Our name → the safetensors format's. All but c128, which that format lacks.
SAFETENSORS = {
    "bool": "BOOL",
    "u8": "U8",
    "i8": "I8",
    "u16": "U16",
    "i16": "I16",
    "u32": "U32",
    "i32": "I32",
    "u64": "U64",
    "i64": "I64",
    "f16": "F16",
    "bf16": "BF16",
    "f32": "F32",
    "f64": "F64",
    "c64": "C64",
    "f8_e4m3": "F8_E4M3",
    "f8_e5m2": "F8_E5M2",
    "f8_e4m3fnuz": "F8_E4M3FNUZ",
    "f8_e5m2fnuz": "F8_E5M2FNUZ",
    "f8_e8m0": "F8_E8M0",
}
_PLAIN = {
    "bool": "?",
    "u8": "u1",
    "i8": "i1",
    "u16": "<u2",
    "i16": "<i2",
    "u32": "<u4",
    "i32": "<i4",
    "u64": "<u8",
    "i64": "<i8",
    "f16": "<f2",
    "f32": "<f4",
    "f64": "<f8",
    "c64": "<c8",
    "c128": "<c16",
}
_EXTENDED = {  # by ml_dtypes; f8_e4m3 is the "fn" variant that PyTorch and safetensors mean
    "bf16": "bfloat16",
    "f8_e4m3": "float8_e4m3fn",
    "f8_e5m2": "float8_e5m2",
    "f8_e4m3fnuz": "float8_e4m3fnuz",
    "f8_e5m2fnuz": "float8_e5m2fnuz",
    "f8_e8m0": "float8_e8m0fnu",
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for one of our names; for what NumPy cannot hold (sub-byte and block-quantised types) bytes."""
    if name in _PLAIN:
        return np.dtype(_PLAIN[name])
    if name in _EXTENDED:
        import ml_dtypes

        extended: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _EXTENDED[name]))
        return extended
    return np.dtype("u1")


def name_of(dtype: np.dtype[Any], where: str) -> str:
    """Our name of a NumPy dtype. Raises UsageError, naming the array, for one that cannot be saved."""
    little = dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype
    for name in SAFETENSORS:
        if numpy_dtype(name) == little:
            return name
    raise UsageError(
        f"the array {where!r} has dtype {dtype}, which cannot be saved",
        hint="convert it to a number type of 1 to 8 bytes",
    )
