"""What a store may offer beyond the contract: objects that lie in an archive, and asking for them.

An optional capability: `archives_of(store)` is None for a store that has none. What Google calls Archive is read at
once, like a folder's files: nothing there is ever asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, Protocol

from holdfast.stores.protocol import Store

__all__ = ["Archived", "Archives", "Speed", "Standing", "archives_of"]


class Standing(Enum):
    """ARCHIVED: reading it fails. ASKED: so it does, and the provider is getting it. READABLE: it was asked for, and
    can be read for a while.
    """

    ARCHIVED = "archived"
    ASKED = "asked for"
    READABLE = "readable"


class Speed(Enum):
    """How soon it is wanted. S3: `Standard`, `Bulk` (hours more, cheaper), `Expedited` (minutes; not from Deep
    Archive). Azure: priority `Standard` for the first two, `High`.
    """

    STANDARD = "standard"
    BULK = "bulk"
    EXPEDITED = "expedited"


class Archived(NamedTuple):
    """An object of an archive class, as the provider calls that (`kind`). `until_ns`: how long it can be read, where
    the provider says so.
    """

    key: str
    size: int
    kind: str
    standing: Standing
    until_ns: int | None = None


class Archives(Protocol):
    """The archived objects of one store. Keys are the store's, errors those of `Store`. Safe for several threads."""

    def archived(self, prefix: str) -> Iterator[Archived]:
        """The objects of archive classes whose keys begin so, by key, also those that were asked for."""
        ...

    def ask(self, key: str, days: int, speed: Speed) -> None:
        """Ask for one: it can be read some hours later, and for so many days. No error where it was asked for before;
        that prolongs it. Raises ObjectNotFoundError.
        """
        ...


def archives_of(store: Store) -> Archives | None:
    """The archives of a store that may have some: its attribute `archives`. A store that wraps another passes it on.

    Raises MissingExtraError where the provider's SDK is not installed, UsageError.
    """
    found: Archives | None = getattr(store, "archives", None)
    return found
