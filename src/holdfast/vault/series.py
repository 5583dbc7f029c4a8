"""Create-only writing: nothing is ever overwritten, whoever loses a create reads the winner.

Every object here holds fresh random bytes (a key, a salt or a signature over them), so equal bytes mean: it was ours.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.errors import AlreadyExistsError, ConflictError, DamageError
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
    """The highest generation of a series, 0 when it is empty. Raises DamageError on a name that is no generation."""
    highest = 0
    for info in store.list(prefix):
        generation = generation_of(info.key)
        if generation is None or info.key != f"{prefix}{generation:010d}":
            raise DamageError(f"{info.key} does not belong into a series of generations", object_name=info.key)
        highest = max(highest, generation)
    return highest


def append_generation(store: Store, prefix: str, make: Callable[[int], bytes]) -> int:
    """Write the next generation of a series; `make(generation)` gives its bytes and is called anew after a lost race.

    Returns the generation written. Raises ConflictError when it keeps losing.
    """
    for _ in range(_ATTEMPTS):
        generation = highest_generation(store, prefix) + 1
        if create_once(store, f"{prefix}{generation:010d}", make(generation)):
            return generation
    raise ConflictError(f"lost the race for the next generation of {prefix} {_ATTEMPTS} times", hint="try again")
