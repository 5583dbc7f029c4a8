"""What msgspec knows of a type is worked out where the type is decoded first, and not by one thread at a time.

msgspec 0.22 ends the process with a segmentation fault where two threads decode a type for the first time at once: the
second one takes what the first has half filled in. A server decodes everywhere in threads; so each type is worked out
here, before any other thread can reach it: those that are there at once, those of modules that are imported later by
the import itself, under the lock that it holds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final, is_typeddict

import msgspec

__all__ = ["warm_types"]

_OURS: Final = "holdfast."
_lock: Final = threading.RLock()


def warm_types() -> None:
    """All that are there now, and from now on each module's of this project when it is imported. Again: what is new."""
    with _lock:
        if not any(isinstance(one, _Finder) for one in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        _warm(_structs(msgspec.Struct))
        for name, module in list(sys.modules.items()):
            if name.startswith(_OURS) and isinstance(module, ModuleType):
                _warm(_records(module))


def _warm(types: Iterable[Any]) -> None:
    with _lock:
        for one in types:
            with suppress(Exception):  # whatever cannot be decoded: nobody decodes it
                msgspec.json.Decoder(one)


def _structs(base: type) -> list[type]:
    found: dict[type, None] = {}
    left: list[type] = list(base.__subclasses__())
    while left:
        one = left.pop()
        if one not in found:
            found[one] = None
            left += one.__subclasses__()
    return list(found)


def _records(module: ModuleType) -> list[type]:
    """Classes of that module that msgspec decodes."""
    return [
        one
        for one in list(vars(module).values())
        if isinstance(one, type)
        and one.__module__ == module.__name__
        and (issubclass(one, (msgspec.Struct, tuple)) or is_dataclass(one) or is_typeddict(one))
    ]


class _Finder(MetaPathFinder):
    """Finds what the usual one finds, and warms it once it is executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_OURS):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Warming(spec.loader)
        return spec


class _Warming(Loader):
    """Another loader, and what it leaves is warm. Everything else is the other one's, files beside the module too."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner
        self._inner.exec_module(module)
        _warm(_records(module))
