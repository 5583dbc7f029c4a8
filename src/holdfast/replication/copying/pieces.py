"""Copying packs with the help of other machines: each fetches from the one store, and sends to the other.

Packs are named by the hash of their bytes, so whoever copies one needs no key to know that it arrives as it was. The
index, parts, roots and pointers, and the lease, stay with the copy that asked (`copying.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import DamageError, NotFoundError, ObjectNotFoundError
from holdfast.stores.protocol import Store
from holdfast.vault.format.scrubbing import scrub_object

__all__ = ["Carried", "Carrier", "carry_packs"]

_STREAMS = 4  # packs on their way at a time, for each piece


class Carried(NamedTuple):
    """What became of a pack: its size, or what is wrong with it at the source; `gone`: it is not there any more."""

    key: str
    size: int
    problem: str = ""
    gone: bool = False


Carrier = Callable[[Sequence[str]], Iterator[Carried]]
"""Copies packs, given their keys; tells of each once, in any order. Raises what the stores raise."""


def carry_packs(source: Store, target: Store, keys: Sequence[str]) -> list[Carried]:
    """Copy these packs, each checked against its name. One that is at the target with its size is not sent again: who
    was to copy it may have died after that. Raises what the stores raise, but for damage.
    """

    def one(key: str) -> Carried:
        try:
            size = source.head(key).size
            try:
                if target.head(key).size == size:
                    return Carried(key, size)
            except ObjectNotFoundError:
                pass
            data = source.get(key)
            scrub_object(key, data)
        except (DamageError, NotFoundError) as error:
            return Carried(key, 0, error.message, isinstance(error, NotFoundError))
        target.put(key, data)
        return Carried(key, len(data))

    with ThreadPoolExecutor(_STREAMS, thread_name_prefix="carry") as pool:
        return list(pool.map(one, keys))
