"""Create-only writing: nothing is ever overwritten, whoever loses a create reads the winner.

Every object here holds fresh random bytes (a key, a salt or a signature over them), so equal bytes mean: it was ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from holdfast.errors import AlreadyExistsError, ConflictError
from holdfast.stores.protocol import Store
from holdfast.vault.format.names import generation_of

__all__ = [
    "Series",
    "Generations",
    "Hints",
    "append_after",
    "append_generation",
    "create_once",
    "generations_at",
    "highest_generation",
    "series_at",
    "series_of",
]

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
    return generations_at(store, prefix).highest


class Hints(Protocol):
    """Where a series once ended, to look from there on. Whatever they say, all is found that a full listing finds."""

    def highest(self, prefix: str) -> int:
        """The highest generation that was seen, 0 for none."""
        ...

    def note(self, prefix: str, generation: int) -> None: ...


class Generations:
    """The generations of a series that count: the newest ones at once, the others when it comes to them."""

    def __init__(self, store: Store, prefix: str, found: list[int], older_than: int = 0) -> None:
        """`found`: ascending. `older_than`: there may be others, all before this one; 0: there are none."""
        self._store = store
        self._prefix = prefix
        self._found = found
        self._older_than = older_than

    @property
    def highest(self) -> int:
        """The highest one, 0 when there is none."""
        return self._found[-1] if self._found else 0

    def keys(self) -> Iterator[str]:
        """Newest first."""
        yield from (_key(self._prefix, one) for one in reversed(self._found))
        if self._older_than:
            older = [one for one in series_at(self._store, self._prefix).generations if one < self._older_than]
            yield from (_key(self._prefix, one) for one in reversed(older))


def generations_at(store: Store, prefix: str, hints: Hints | None = None) -> Generations:
    """The generations that a store holds under `prefix`.

    With `hints`, only the newest are listed, which are the same as those of a full listing: a generation of at most
    1,000,000 counts however many there are, so where none that is found lies above, nothing depends on those before.
    Where nothing is found (the store was put back to an earlier state), all are listed.
    """
    hint = hints.highest(prefix) if hints is not None else 0
    newest = _from(store, prefix, hint) if hint else None
    if newest is not None:
        found = Generations(store, prefix, newest, hint)
    else:
        found = Generations(store, prefix, series_at(store, prefix).generations)
    if hints is not None and found.highest != hint:
        hints.note(prefix, found.highest)
    return found


def append_generation(store: Store, prefix: str, make: Callable[[int], bytes | None]) -> int:
    """Like `append_after`, for those who only need to know the number of the new generation."""
    return append_after(store, prefix, lambda before: make(before.highest + 1))


def append_after(
    store: Store, prefix: str, make: Callable[[Generations], bytes | None], hints: Hints | None = None
) -> int:
    """Write the next generation of a series; `make` gives its bytes and is called anew after a lost race.

    The generations that `make` is given are still the newest when its bytes are written. When it gives None, nothing is
    written. Returns the generation written, or 0. Raises ConflictError when it keeps losing, also to a generation that
    leapt ahead: what was written would be history from the start.
    """
    before = generations_at(store, prefix, hints)
    for _ in range(_ATTEMPTS):
        data = make(before)
        if data is None:
            found = generations_at(store, prefix, hints)
            if found.highest == before.highest:
                return 0
            before = found
            continue
        generation = before.highest + 1
        if create_once(store, _key(prefix, generation), data) and not _overtaken(store, prefix, generation, hints):
            if hints is not None:
                hints.note(prefix, generation)
            return generation
        before = generations_at(store, prefix, hints)
    raise ConflictError(f"lost the race for the next generation of {prefix} {_ATTEMPTS} times", hint="try again")


def _overtaken(store: Store, prefix: str, generation: int, hints: Hints | None) -> bool:
    """Whether a later generation counts that did not follow on this one. (One that did, knew it, and is in order.)

    None lay above this one when it was numbered: a listing said so. So the next one was written by who had seen it.
    """
    found = _from(store, prefix, generation) if hints is not None else None
    later = [one for one in found or series_at(store, prefix).generations if one > generation]
    return bool(later) and later[0] != generation + 1


def _from(store: Store, prefix: str, first: int) -> list[int] | None:
    """The generations from `first` on, ascending, or None where only a full listing can tell which of them count."""
    if not 0 < first <= _LEAP_MAX:
        return None
    series = series_of((info.key for info in store.list(prefix, _key(prefix, first - 1))), prefix)
    found = series.generations + series.leaps
    return found if found and found[-1] <= _LEAP_MAX else None


def _key(prefix: str, generation: int) -> str:
    return f"{prefix}{generation:010d}"
