"""Create-only writing: nothing is ever overwritten, whoever loses a create reads the winner.

Every object here holds fresh random bytes (a key, a salt or a signature over them), so equal bytes mean: it was ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from holdfast.errors import AlreadyExistsError, ConflictError
from holdfast.stores.protocol import Store
from holdfast.vault.format.names import generation_of

__all__ = ["Series", "append_generation", "create_once", "highest_generation", "series_at", "series_of"]

_ATTEMPTS = 20
_LEAP_MAX = 1_000_000


class Series(NamedTuple):
    """The generations of one config or ref, ascending. `leaps` are too high to have been reached by counting."""

    prefix: str
    generations: list[int]
    leaps: list[int]

    @property
    def keys(self) -> list[str]:
        """The keys of the generations that may count, oldest first."""
        return [_key(self.prefix, generation) for generation in self.generations]

    @property
    def leap_keys(self) -> list[str]:
        return [_key(self.prefix, generation) for generation in self.leaps]


def series_of(keys: Iterable[str], prefix: str) -> Series:
    """The generations under `prefix` (which ends with `/`). Other names, nested ones too, are none of its business.

    A generation counts only if it is at most 1,000,000 above the number of generations there are: whoever may write
    must not be able to use the numbers up, or to put a generation above all that will ever follow.
    """
    found = sorted(int(key[-10:]) for key in keys if generation_of(key) is not None and key[:-10] == prefix)
    highest = len(found) + _LEAP_MAX
    return Series(prefix, [one for one in found if one <= highest], [one for one in found if one > highest])


def series_at(store: Store, prefix: str) -> Series:
    """The series that a store holds under `prefix`."""
    return series_of((info.key for info in store.list(prefix)), prefix)


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
    """The highest generation of a series that counts (see `series_of`), 0 when there is none."""
    return max(series_at(store, prefix).generations, default=0)


def append_generation(store: Store, prefix: str, make: Callable[[int], bytes | None]) -> int:
    """Write the next generation of a series; `make(generation)` gives its bytes and is called anew after a lost race.

    Whatever `make` sees of the generations before its own still holds when its bytes are written. When it gives None,
    nothing is written. Returns the generation written, or 0. Raises ConflictError when it keeps losing, also to a
    generation that leapt ahead: what was written would be history from the start.
    """
    for _ in range(_ATTEMPTS):
        generation = highest_generation(store, prefix) + 1
        data = make(generation)
        if data is None:
            return 0
        if create_once(store, _key(prefix, generation), data) and not _overtaken(store, prefix, generation):
            return generation
    raise ConflictError(f"lost the race for the next generation of {prefix} {_ATTEMPTS} times", hint="try again")


def _overtaken(store: Store, prefix: str, generation: int) -> bool:
    """Whether a later generation counts that did not follow on this one. (One that did, knew it, and is in order.)"""
    later = [one for one in series_at(store, prefix).generations if one > generation]
    return bool(later) and later[0] != generation + 1


def _key(prefix: str, generation: int) -> str:
    return f"{prefix}{generation:010d}"
