"""Tensors of PyTorch, NumPy and JAX as NumPy arrays over the same memory, and back.

Frameworks are recognised by the module of the value's class: none is imported unless one of its tensors is here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from holdfast.errors import UsageError
from holdfast.vault.tensors.dtypes import SAFETENSORS, name_of, numpy_dtype
from holdfast.vault.tensors.targets import as_torch

__all__ = [
    "Array",
    "Framework",
    "TensorForm",
    "framework_of",
    "form_of",
    "host_view",
    "require_memory",
    "as_framework",
    "safetensors_name",
    "shown",
]

Path = tuple[str, ...]
Array = np.ndarray[Any, np.dtype[Any]]
Framework = Literal["torch", "numpy", "jax"]

_EXTENDED = frozenset(  # NumPy has them by ml_dtypes only, so torch's own `numpy()` refuses them
    {"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"}
)
_PLAIN_CLASSES = frozenset({"Tensor", "Parameter", "Buffer", "UninitializedParameter"})
_FORMATS = {ours: numpy_dtype(ours) for ours in SAFETENSORS}
_NAMES = {dtype: SAFETENSORS[ours] for ours, dtype in _FORMATS.items()}
_torch_formats: dict[Any, tuple[np.dtype[Any], str]] = {}  # torch's dtype → NumPy's, and its name
_strided: set[Any] = set()  # torch's layout of that name, once it was seen
_COMPLEX128 = np.dtype("<c16")  # the safetensors format lacks it: saved as pairs of F64


class TensorForm(NamedTuple):
    """What a tensor looks like. `dtype` is NumPy's, little-endian; `stored` safetensors' name of it (`BF16`)."""

    framework: Framework
    dtype: np.dtype[Any]
    stored: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def framework_of(value: Any) -> Framework | None:
    """Whose tensor it is; None for everything else. Numbers and NumPy scalars are no tensors."""
    kind: Any = type(value)
    return _framework_of_class(kind)


@lru_cache(maxsize=1024)
def _framework_of_class(kind: Any) -> Framework | None:
    if issubclass(kind, np.ndarray):
        return "numpy"
    for base in kind.__mro__[:-1]:
        root = base.__module__.partition(".")[0]
        if root == "torch" and hasattr(kind, "untyped_storage"):
            return "torch"
        if root in ("jax", "jaxlib") and hasattr(kind, "__array__") and hasattr(kind, "shape"):
            return "jax"
    return None


def form_of(value: Any, where: str | Path) -> TensorForm:
    """The form of a tensor; no byte is read. `where`: a name for errors, or the keys that lead there from the state.

    Raises UsageError for a tensor that has no safe form.
    """
    framework = framework_of(value)
    if framework is None:
        raise UsageError(f"{shown(where)} is a {_class_name(value)}, not a tensor")
    if framework == "torch":
        _require_plain_torch(value, where)
        known = _torch_formats.get(value.dtype)
        if known is None:
            dtype = _torch_dtype(value, where)
            known = _torch_formats[value.dtype] = (dtype, safetensors_name(dtype, shown(where)))
        return TensorForm(framework, *known, tuple(value.shape))
    dtype = _array_dtype(value, where)
    return TensorForm(framework, _little(dtype), safetensors_name(dtype, shown(where)), tuple(map(int, value.shape)))


def require_memory(tensor: Any, form: TensorForm, where: str | Path) -> None:
    """Raises UsageError for a tensor of torch whose storage was freed (`resize_(0)`, as FSDP does between steps): to
    read it would end the process.
    """
    if not form.nbytes:
        return
    count = math.prod(form.shape)
    if not tensor.is_contiguous():
        count = 1 + sum((edge - 1) * step for edge, step in zip(form.shape, tensor.stride(), strict=True))
    if tensor.untyped_storage().nbytes() < (tensor.storage_offset() + count) * form.dtype.itemsize:
        raise UsageError(
            f"{shown(where)} has no memory of its own now: its storage was freed",
            hint="save the state dict that its framework gathers, not the module's parameters",
        )


def host_view(value: Any, where: str) -> Array:
    """The values as a NumPy array of the same shape: the same memory, with its strides, where it lies in this host's.

    What lies on an accelerator is copied, as is what is big-endian, or conjugated or negated lazily. bfloat16 and
    float8 come with the dtypes of `ml_dtypes`. The array of a torch tensor is writable, and so is the tensor.
    """
    form = form_of(value, where)
    if form.framework == "torch":
        return _torch_view(value, form, where)
    array = np.asarray(value)
    return array if array.dtype == form.dtype and array.dtype.byteorder != ">" else array.astype(form.dtype)


def as_framework(array: Array, framework: str) -> Any:
    """The array as a tensor of that framework, over the same memory where the framework can.

    Raises MissingExtraError when it is not installed, UsageError for a dtype that it lacks or an unknown name.
    """
    if framework == "numpy":
        return array
    if framework == "torch":
        return as_torch(array)
    if framework == "jax":
        return _as_jax(array)
    raise UsageError(f"{framework!r} is no framework whose tensors are known", hint="numpy, torch or jax")


def shown(where: str | Path) -> str:
    """A place in a state, for people: `state['model']['weight']`; a name as it is."""
    return where if isinstance(where, str) else "state" + "".join(f"[{part!r}]" for part in where)


def safetensors_name(dtype: np.dtype[Any], where: str) -> str:
    """The safetensors format's name of a NumPy dtype, either byte order. Raises UsageError, naming `where`.

    complex128, which that format lacks, is `F64`: its tensors are saved with a last dimension of two.
    """
    little = _little(dtype)
    if little == _COMPLEX128:
        return "F64"
    return _NAMES.get(little) or SAFETENSORS[name_of(little, where)]


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype


def _require_plain_torch(tensor: Any, where: str | Path) -> None:
    name = type(tensor).__name__
    if name in _PLAIN_CLASSES and tensor.dtype in _torch_formats and tensor.layout in _strided and not tensor.is_meta:
        return
    if name not in _PLAIN_CLASSES:
        hint = "save its plain tensors instead"
        if hasattr(tensor, "placements") or name == "ShardedTensor":
            hint = "it lies on several ranks: save it by `dcp.save` with `holdfast.training.dcp.VaultWriter`"
        raise UsageError(f"{shown(where)} is a {_class_name(tensor)}, which has no form of its own", hint=hint)
    if str(tensor.layout) != "torch.strided":
        raise UsageError(
            f"{shown(where)} is sparse ({tensor.layout})", hint="save its indices and values, or `to_dense()` of it"
        )
    if tensor.is_quantized:
        raise UsageError(f"{shown(where)} is a quantised tensor", hint="save `int_repr()`, scale and zero point of it")
    if tensor.device.type == "meta":
        raise UsageError(f"{shown(where)} is on the meta device: it has no values", hint="materialise it first")
    _strided.add(tensor.layout)


def _array_dtype(value: Any, where: str | Path) -> np.dtype[Any]:
    """Of an array of NumPy or JAX. Raises UsageError for a key of JAX, and for what lies on other hosts, too."""
    if not getattr(value, "is_fully_addressable", True):
        raise UsageError(
            f"{shown(where)} lies on several hosts: this one has only a part of it",
            hint="save the parts (`addressable_shards`), each host under a name of its own",
        )
    try:
        found: np.dtype[Any] = np.dtype(value.dtype)
        return found
    except TypeError as error:
        raise UsageError(
            f"{shown(where)} has dtype {value.dtype}, which is no number type",
            hint="of a key of JAX save `jax.random.key_data(key)`",
        ) from error


def _torch_dtype(tensor: Any, where: str | Path) -> np.dtype[Any]:
    name = str(tensor.dtype).removeprefix("torch.")
    try:
        if name in _EXTENDED:
            import ml_dtypes

            extended: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
            return extended
        return np.dtype(name)
    except TypeError as error:
        raise UsageError(
            f"{shown(where)} has dtype {tensor.dtype}, which cannot be saved", hint="convert it to a number type"
        ) from error


def _torch_view(tensor: Any, form: TensorForm, where: str) -> Array:
    import torch  # type: ignore[import-not-found,unused-ignore]  # it is there: the value is one of its tensors

    require_memory(tensor, form, where)
    here = tensor.detach().resolve_conj().resolve_neg()
    if here.device.type != "cpu":
        here = here.cpu()
    if form.dtype.name not in _EXTENDED:
        plain: Array = here.numpy()
        return plain
    carrier = torch.int16 if form.dtype.itemsize == 2 else torch.uint8
    extended: Array = here.view(carrier).numpy().view(form.dtype)
    return extended


def _as_jax(array: Array) -> Any:
    from holdfast.errors import MissingExtraError

    try:
        import jax.numpy  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("JAX is not installed", hint="install `jax`, or use the NumPy array") from error
    return jax.numpy.asarray(array)


def _class_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
