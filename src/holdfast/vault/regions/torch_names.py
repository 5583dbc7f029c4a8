"""Names for the tensors in an unpickled structure: the path of keys that leads to each, joined by dots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from holdfast.vault.regions.proposal import Foreign
from holdfast.vault.regions.shapes import TENSORS_MAX
from holdfast.vault.regions.torch_symbols import HOLDERS, Mapping, TensorRef, Thing

__all__ = ["name_tensors"]

PATH_LENGTH_MAX: Final = 512  # deeper structures are left unnamed: their paths would grow with the square of depth


def name_tensors(root: object) -> Iterator[tuple[str, TensorRef]]:
    """(name, tensor) in the order of the structure. A tensor met on two paths has two names; names may repeat.

    Keys of dicts (texts and integers), indices of lists and tuples, attributes of objects: `model.0.weight`,
    `optimizer.state.3.exp_avg`. A container met on two paths gives names on the first only. The root itself is "".
    Raises Foreign when there are too many.
    """
    pending: list[tuple[str, object]] = [("", root)]
    seen: set[int] = set()
    count = 0
    while pending:
        path, value = pending.pop()
        if isinstance(value, TensorRef):
            count += 1
            if count > TENSORS_MAX:
                raise Foreign("its pickle lists too many tensors")
            yield path, value
        elif id(value) not in seen and len(path) <= PATH_LENGTH_MAX:
            seen.add(id(value))
            pending.extend(reversed(_children(path, value)))


def _children(path: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(_join(path, key, index), item) for index, (key, item) in enumerate(value.items)]
    if isinstance(value, Thing):
        # The state of an object names its attributes itself; arguments are told apart by their index.
        return [(path, part) for part in value.parts if type(part) in HOLDERS]
    if isinstance(value, list | tuple):
        return [(_join(path, index, index), item) for index, item in enumerate(value) if type(item) in HOLDERS]
    return []


def _join(path: str, key: object, index: int) -> str:
    part = str(key) if isinstance(key, str | int) else f"[{index}]"
    if len(part) > PATH_LENGTH_MAX:
        part = f"[{index}]"
    return f"{path}.{part}" if path else part
