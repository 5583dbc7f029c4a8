"""A restored state into the one that training has: modules, optimizers and tensors in place."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from holdfast.errors import UsageError
from holdfast.training.states.arrays import framework_of
from holdfast.training.states.tree import class_name, is_stateful, shown

__all__ = ["fill"]

_Task = tuple[Any, Any]


def fill(target: Any, state: Any) -> Any:
    """What `target` is with the values of `state`: its objects have loaded theirs, its tensors hold theirs, its
    mappings have its keys. Plain values, tuples and what cannot be changed in place are replaced in what is returned.

    Everything is compared before anything is changed. Raises UsageError, naming the place, where the two do not fit.
    """
    _compare(target, state, ())
    return _filled(target, state)


def _compare(target: Any, state: Any, path: tuple[str, ...]) -> None:
    if is_stateful(target) or _is_generator(target):
        return  # its own `load_state_dict` says what does not fit
    if framework_of(target) is not None:
        if framework_of(state) is None or tuple(target.shape) != tuple(state.shape) or _differ(target, state):
            raise UsageError(f"{shown(path)} is {_form(target)} here, and {_form(state)} in the snapshot")
    elif isinstance(target, Mapping):
        if not isinstance(state, Mapping):
            raise UsageError(f"{shown(path)} is a mapping here, and a {class_name(state)} in the snapshot")
        missing = [key for key in target if key not in state]
        if missing:
            raise UsageError(f"{shown(path)} has {str(missing[0])!r} here, which the snapshot lacks")
        for key in target:
            _compare(target[key], state[key], (*path, str(key)))
    elif isinstance(target, (list, tuple)) and _holds_places(target):
        if not isinstance(state, (list, tuple)) or len(target) != len(state):
            raise UsageError(f"{shown(path)} has another length here than in the snapshot")
        for number, (one, other) in enumerate(zip(target, state, strict=True)):
            _compare(one, other, (*path, str(number)))


def _filled(target: Any, state: Any) -> Any:
    if is_stateful(target):
        target.load_state_dict(state)
        return target
    if _is_generator(target):
        return _filled_generator(target, state)
    if framework_of(target) == "torch":
        target.detach().copy_(_as_torch(state))
        return target
    if framework_of(target) == "numpy" and target.flags.writeable:
        np.copyto(target, np.asarray(state))
        return target
    if isinstance(target, MutableMapping):
        for key in state:
            target[key] = _filled(target[key], state[key]) if key in target else state[key]
        return target
    if isinstance(target, (list, tuple)) and _holds_places(target):
        inner = [_filled(one, other) for one, other in zip(target, state, strict=True)]
        if isinstance(target, list):
            target[:] = inner
            return target
        return type(target)(*inner) if hasattr(target, "_fields") else tuple(inner)
    return state


def _filled_generator(target: Any, state: Any) -> Any:
    if isinstance(target, np.random.Generator):
        target.bit_generator.state = state.bit_generator.state
    else:
        target.set_state(state.get_state())
    return target


def _is_generator(value: Any) -> bool:
    kind = type(value)
    return isinstance(value, np.random.Generator) or (
        kind.__name__ == "Generator" and kind.__module__.partition(".")[0] == "torch"
    )


def _holds_places(values: Any) -> bool:
    """Whether something below can be filled in place; else the value is just taken from the snapshot."""
    return any(
        isinstance(one, (Mapping, list, tuple)) or is_stateful(one) or _is_generator(one) or framework_of(one)
        for one in values
    )


def _differ(target: Any, state: Any) -> bool:
    return _dtype_name(target) != _dtype_name(state)


def _dtype_name(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _form(value: Any) -> str:
    if framework_of(value) is None:
        return f"a {class_name(value)}"
    return f"{_dtype_name(value)}{list(value.shape)}"


def _as_torch(state: Any) -> Any:
    if framework_of(state) == "torch":
        return state
    from holdfast.training.states.arrays import as_framework, host_view

    return as_framework(host_view(state, "the state"), "torch")
