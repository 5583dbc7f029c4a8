"""A state as a tree of JSON, with its tensors taken out: dicts, lists, tuples, plain values, generators.

Nothing of the state is changed, and no byte of a tensor is read. Beside what `plain` says:

| value | JSON |
|---|---|
| `list`; `tuple`; named tuple | `[…]`; `{"$tuple": […]}`; `{"$tuple": […], "names": […], "class": "optax.AdamState"}` |
| `dict` with keys of text | `{"key": …}`; an `OrderedDict` is `{"$ordered": {…}}`, with `"metadata"` where torch put some |
| `dict` with other keys, or with one that begins with `$` | `{"$dict": [[key, value], …]}` |
| `set`, `frozenset` of plain values | `{"$set": […]}`, sorted by their JSON |
| `Enum` | `{"$enum": value, "class": "module.Name"}`; restored as the value |
| tensor | `{"$tensor": [file, name], "of": "torch"}`, see `files` |
| `torch.Generator`, `numpy.random.Generator` | `{"$torch.Generator": tensor, "device": "cpu"}`, `{"$numpy.Generator": state}` |
| an object with `state_dict` and `load_state_dict` | what its `state_dict()` gives |
"""  # noqa: E501 - a table

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from holdfast.errors import UsageError
from holdfast.training.states.arrays import form_of, framework_of, shown
from holdfast.training.states.plain import NOT_PLAIN, plain_node
from holdfast.training.states.sharing import Leaf

__all__ = ["DEPTH_MAX", "Taken", "take_apart", "is_stateful", "class_name", "shown"]

DEPTH_MAX = 100
_HINT = "save its plain values and tensors: most objects have a `state_dict()`; nothing is ever pickled"


class Taken(NamedTuple):
    """A state that was taken apart: its JSON tree, whose tensor nodes are still empty, and its tensors."""

    tree: Any
    leaves: list[Leaf]


def take_apart(state: Any) -> Taken:
    """Raises UsageError naming the path and class of the first value that has no safe form."""
    taking = _Taking()
    return Taken(taking.node(state, (), 0), taking.leaves)


def is_stateful(value: Any) -> bool:
    """Whether it gives its state and takes it back, as modules, optimizers and schedulers of torch do."""
    kind = type(value)
    return callable(getattr(kind, "state_dict", None)) and callable(getattr(kind, "load_state_dict", None))


class _Taking:
    def __init__(self) -> None:
        self.leaves: list[Leaf] = []

    def node(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise UsageError(f"{shown(path)} is nested more than {DEPTH_MAX} deep (or holds itself)")
        if framework_of(value) is not None:  # first: most of what a state holds
            return self._tensor(value, path)
        if type(value) is dict:
            return self._mapping(value, path, depth)
        if isinstance(value, enum.Enum):
            return self._enum(value, path, depth)
        plain = plain_node(value)
        if plain is not NOT_PLAIN:
            return plain
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, (list, tuple)):
            return self._sequence(value, path, depth)
        if isinstance(value, (set, frozenset)):
            return self._set(value, path, depth)
        if is_stateful(value):
            return self.node(value.state_dict(), path, depth + 1)
        return self._generator(value, path, depth)

    def _tensor(self, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        form = form_of(value, path)
        node: dict[str, Any] = {}
        self.leaves.append(Leaf(path, value, form, node))
        return node

    def _mapping(self, value: Mapping[Any, Any], path: tuple[str, ...], depth: int) -> Any:
        if all(map(_is_name, value)):
            body: Any = {key: self.node(inner, (*path, key), depth + 1) for key, inner in value.items()}
            if isinstance(value, OrderedDict):
                metadata = getattr(value, "_metadata", None)  # torch's versions of modules: `load_state_dict` asks
                rest = {} if metadata is None else {"metadata": self.node(metadata, (*path, "_metadata"), depth + 1)}
                return {"$ordered": body, **rest}
            return body
        pairs = []
        for key, inner in value.items():
            named = (*path, str(key) if isinstance(key, (str, int)) else repr(key)[:40])
            known = self.node(key, (*path, f"the key {named[-1]}"), depth + 1)
            if not _is_key(key):
                raise UsageError(f"{shown(path)} has a key of the class {class_name(key)}", hint=_HINT)
            pairs.append([known, self.node(inner, named, depth + 1)])
        return {"$dict": pairs}

    def _sequence(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        names = getattr(value, "_fields", None)
        keys = names if names is not None else map(str, range(len(value)))
        inner = [self.node(one, (*path, key), depth + 1) for key, one in zip(keys, value, strict=True)]
        if isinstance(value, list):
            return inner
        if names is None:
            return {"$tuple": inner}
        return {"$tuple": inner, "names": list(names), "class": class_name(value)}

    def _set(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        inner = [self.node(one, (*path, "an element"), depth + 1) for one in value if _is_key(one)]
        if len(inner) != len(value):
            raise UsageError(f"{shown(path)} is a set of other things than plain values", hint=_HINT)
        return {"$set": sorted(inner, key=msgspec.json.encode)}

    def _enum(self, value: enum.Enum, path: tuple[str, ...], depth: int) -> Any:
        return {"$enum": self.node(value.value, path, depth + 1), "class": class_name(value)}

    def _generator(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if type(value).__name__ == "Generator" and type(value).__module__.partition(".")[0] == "torch":
            state = self._tensor(value.get_state(), path)
            return {"$torch.Generator": state, "device": str(value.device)}
        if isinstance(value, np.random.Generator):
            return {"$numpy.Generator": self.node(value.bit_generator.state, path, depth + 1)}
        raise UsageError(f"{shown(path)} is a {class_name(value)}, which has no safe form", hint=_HINT)


def class_name(value: Any) -> str:
    """The class of a value, with its module unless that is Python's own."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_key(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(map(_is_key, key))
    return key is None or isinstance(key, (str, int, float, bytes, np.generic))


def _is_name(key: Any) -> bool:
    """Whether it can be a name in a JSON object, and means nothing else there."""
    return type(key) is str and _is_free_name(key)


@lru_cache(maxsize=1 << 14)
def _is_free_name(key: str) -> bool:
    return not key.startswith("$") and plain_node(key) == key
