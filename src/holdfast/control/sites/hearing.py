"""Reading the notices at one store, of which anybody who may write can put as many as he likes beside the real ones.

So what is read is bounded in time, number and size; of too many, chance decides which, so that nobody can place
objects before the others for ever. That some were not looked at is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import SystemRandom
from typing import Final, NamedTuple

from holdfast.errors import ObjectNotFoundError
from holdfast.fanout.beside import for_each
from holdfast.stores.protocol import ObjectInfo, Store, store_identity
from holdfast.vault.access.site_notices import NOTICE_BYTES_MAX, notice_id, notice_key
from holdfast.vault.format.names import SITES

__all__ = ["Heard", "hear", "listed_notices", "remember_rubbish"]

_READ_MAX: Final = 1000  # at one store, each time
_chance: Final = SystemRandom()
_rubbish: set[tuple[str, str]] = set()  # store, id: what was no notice at all; it is read after all others


class Heard(NamedTuple):
    """`read`: id → bytes, and when the store says that they were written. `unread`: how many more lie there, which were
    not looked at for want of time.
    """

    read: dict[str, tuple[bytes, int]]
    unread: int


def listed_notices(store: Store, in_time: Callable[[], bool]) -> tuple[dict[str, ObjectInfo], bool]:
    """Those that may be notices, by id, as far as they are listed `in_time`, and whether that was all."""
    found: dict[str, ObjectInfo] = {}
    for info in store.list(SITES):
        if not in_time():
            return found, False
        one = notice_id(info.key)
        if one is not None and info.size <= NOTICE_BYTES_MAX:
            found[one] = info
    return found, True


def hear(store: Store, known: Collection[str], in_time: Callable[[], bool]) -> Heard:
    """Read what is not `known`."""
    listed, complete = listed_notices(store, in_time)
    name = store_identity(store)
    unknown = [one for one in listed if one not in known]
    _chance.shuffle(unknown)
    unknown.sort(key=lambda one: (name, one) in _rubbish)  # stable: what chance decided stays so among the others
    read: dict[str, tuple[bytes, int]] = {}

    def read_one(one: str) -> None:
        if in_time():
            try:
                read[one] = store.get(notice_key(one)), listed[one].modified_ns
            except ObjectNotFoundError:
                gone.append(one)

    gone: list[str] = []
    for_each(read_one, unknown[:_READ_MAX])
    left = len(unknown) - len(read) - len(gone)
    return Heard(read, left if complete else max(1, left))


def remember_rubbish(store: Store, ids: Iterable[str]) -> None:
    """These cannot become notices, whoever is trusted later."""
    _rubbish.update((store_identity(store), one) for one in ids)
