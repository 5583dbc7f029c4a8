"""Create-only writing: nothing is ever overwritten, whoever loses a create reads the winner.

Every object here holds fresh random bytes (a key, a salt or a signature over them), so equal bytes mean: it was ours.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.errors import AlreadyExistsError, ConflictError
from holdfast.stores.protocol import Store
from holdfast.vault.names import generation_of

__all__ = ["create_once", "highest_generation", "append_generation"]

_ATTEMPTS = 20


def create_once(store: Store, key: str, data: bytes) -> bool:
    """Create the object. False when the name was taken by somebody else's bytes.

    A create whose answer was lost finds its own bytes there, and counts as done.
    """
    try:
        store.create(key, data)
    except AlreadyExistsError:
        return store.get(key) == data
    return True


def highest_generation(store: Store, prefix: str) -> int:
    """The highest generation of a series, 0 when it is empty. Other names are none of its business."""
    return max((generation for info in store.list(prefix) if (generation := _of_series(info.key, prefix))), default=0)


def _of_series(key: str, prefix: str) -> int | None:
    generation = generation_of(key)
    return generation if generation is not None and key == f"{prefix}{generation:010d}" else None


def append_generation(store: Store, prefix: str, make: Callable[[int], bytes | None]) -> int:
    """Write the next generation of a series; `make(generation)` gives its bytes and is called anew after a lost race.

    Whatever `make` sees of the generations before its own still holds when its bytes are written. When it gives None,
    nothing is written. Returns the generation written, or 0. Raises ConflictError when it keeps losing.
    """
    for _ in range(_ATTEMPTS):
        generation = highest_generation(store, prefix) + 1
        data = make(generation)
        if data is None:
            return 0
        if create_once(store, f"{prefix}{generation:010d}", data):
            return generation
    raise ConflictError(f"lost the race for the next generation of {prefix} {_ATTEMPTS} times", hint="try again")
