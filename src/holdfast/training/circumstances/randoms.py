"""The states of random number generators, as a tree of plain values and arrays that is saved with the state.

Python's, NumPy's global one, torch's on CPU and on each GPU that was used, and generators that are handed in. A library
that the program has not imported has drawn nothing: it is not touched. JAX keeps its keys in the state itself.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

from holdfast.errors import DamageError, UsageError

__all__ = ["random_states", "restore_random_states", "generator_state", "set_generator_state"]


def random_states(generators: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Name → state. `generators`: `random.Random`, `numpy.random.Generator` (or `RandomState`), `torch.Generator`.

    Raises UsageError for what is none.
    """
    found: dict[str, Any] = {"python": _of_python(random.getstate())}
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        found["numpy"] = dict(numpy.random.get_state(legacy=False))
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.get_rng_state()
        cuda = getattr(torch, "cuda", None)
        if cuda is not None and cuda.is_initialized():
            found["cuda"] = {str(number): state for number, state in enumerate(cuda.get_rng_state_all())}
    own = {str(name): generator_state(one, str(name)) for name, one in (generators or {}).items()}
    if own:
        found["generators"] = own
    return found


def restore_random_states(states: Mapping[str, Any], generators: Mapping[str, Any] | None = None) -> list[str]:
    """Set all of them back. Returns names that could not be: a library that is not imported here, a GPU that is not
    there, a generator that was not handed in, or one that has no state. Raises DamageError, UsageError.
    """
    left: list[str] = []
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    for name, state in states.items():
        if name == "python":
            with _damage(name):
                random.setstate(_to_python(state))
        elif name == "numpy" and numpy is not None:
            with _damage(name):
                numpy.random.set_state(_to_numpy(state))
        elif name == "torch" and torch is not None:
            with _damage(name):
                torch.set_rng_state(_bytes_tensor(torch, state))
        elif name == "cuda" and torch is not None:
            left += _restore_cuda(torch, state)
        elif name != "generators":
            left.append(name)
    kept = dict(states.get("generators") or {})
    for name, one in (generators or {}).items():
        if name in kept:
            set_generator_state(one, kept.pop(name), name)
        else:
            left.append(f"generator {name}: the snapshot has none")
    return left + [f"generator {name}" for name in kept]


def generator_state(one: Any, name: str) -> Any:
    """The state of one generator. Raises UsageError."""
    if isinstance(one, random.Random):
        return _of_python(one.getstate())
    bits = getattr(one, "bit_generator", None)
    if bits is not None:  # numpy.random.Generator
        return bits.state
    if type(one).__name__ == "RandomState":
        return dict(one.get_state(legacy=False))
    if type(one).__module__.partition(".")[0] == "torch" and hasattr(one, "get_state"):
        return one.get_state()
    raise UsageError(f"generator {name!r} is a {type(one).__name__}: its state is not known")


def set_generator_state(one: Any, state: Any, name: str) -> None:
    """Give a generator its state back. Raises UsageError (no generator), DamageError (no state of such a one)."""
    generator_state(one, name)
    with _damage(name):
        if isinstance(one, random.Random):
            one.setstate(_to_python(state))
        elif hasattr(one, "bit_generator"):
            one.bit_generator.state = _to_numpy(state)
        elif type(one).__name__ == "RandomState":
            one.set_state(_to_numpy(state))
        else:
            one.set_state(_bytes_tensor(sys.modules["torch"], state))


def _of_python(state: Any) -> dict[str, Any]:
    version, words, gauss = state
    return {"version": version, "words": list(words), "gauss": gauss}


def _to_python(state: Any) -> Any:
    return state["version"], tuple(int(word) for word in state["words"]), state["gauss"]


def _to_numpy(state: Any) -> Any:
    """As NumPy gave it: arrays where it wants arrays, whole numbers elsewhere."""
    import numpy

    inner = dict(state["state"])
    if "key" in inner:
        inner["key"] = numpy.asarray(inner["key"], dtype=numpy.uint64 if len(inner["key"]) < 16 else numpy.uint32)
    return {**state, "state": inner}


def _restore_cuda(torch: Any, states: Mapping[str, Any]) -> list[str]:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    left = []
    for number, state in states.items():
        if int(number) < there:
            with _damage(f"cuda {number}"):
                torch.cuda.set_rng_state(_bytes_tensor(torch, state), int(number))
        else:
            left.append(f"cuda {number}")
    return left


def _bytes_tensor(torch: Any, state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.to(device="cpu", dtype=torch.uint8)
    import numpy

    return torch.from_numpy(numpy.array(state, dtype=numpy.uint8))


class _damage:
    """What a generator raises for a state that is none of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError)):
            raise DamageError(
                f"the state of the random numbers of {self._name!r} cannot be set here: {type(error).__name__}",
                hint="it was saved by another kind of generator, or by another version of the library",
            ) from error
