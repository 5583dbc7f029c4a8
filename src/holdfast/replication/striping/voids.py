"""Marks that say: what this site has under that key does not count any more.

Written before a delete or an overwriting put is acknowledged that a site did not hear of, so that the site's copy does
not come back to life with it. Healing makes the copy what it should be, and takes the mark away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError
from holdfast.replication.striping.sites import Member, Sites
from holdfast.stores.keys import is_key
from holdfast.stores.protocol import Buffer

__all__ = ["VOID", "Mark", "Voids", "marked_key", "parse_mark"]

VOID = "stripes/void/"
_MARK = re.compile(r"stripes/void/(0|[1-9][0-9]?)/([0-9a-f]{32})-[0-9a-f]{16}")


class Mark(NamedTuple):
    """One mark: its own key, the site, and the hash of the key that does not count there."""

    key: str
    position: int
    hashed: str


class Voids:
    """The marks as they are now: read when they are first asked for. Make one for each operation."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._found: set[tuple[int, str]] | None = None

    def covers(self, position: int, key: str) -> bool:
        """Whether that site's copy does not count."""
        if self._found is None:
            self._found = {(mark.position, mark.hashed) for mark in self.all()}
        return (position, _hash(key)) in self._found

    def positions(self, key: str) -> set[int]:
        """The sites whose copies do not count."""
        return {mark.position for mark in self.all() if mark.hashed == _hash(key)}

    def all(self) -> list[Mark]:
        """All marks that any site shows."""
        found: dict[str, Mark] = {}
        for member in self._sites.ready():  # one by one: this may be asked while something is done at all of them
            outcome = self._sites.attempt(member, lambda one: [info.key for info in one.store.list(VOID)])
            for key in outcome.value or ():
                mark = parse_mark(key)
                if mark is not None:
                    found[key] = mark
        return list(found.values())

    def add(self, members: Iterable[Member], key: str, write: Callable[[str, Buffer], object]) -> None:
        """Mark the key at these sites; `write` puts the mark where it survives as much as anything."""
        for member in members:
            write(f"{VOID}{member.position}/{_hash(key)}-{os.urandom(8).hex()}", key.encode())

    def key_of(self, mark: Mark) -> str | None:
        """The key that a mark is about, read from any site; None when no site has a mark that is whole."""
        for member in self._sites.ready():
            try:
                return marked_key(mark, member.store.get(mark.key))
            except (ObjectNotFoundError, DamageError):
                continue
            except HoldfastError as error:
                self._sites.note_failure(member, error)
        return None


def marked_key(mark: Mark, content: bytes) -> str:
    """The key that a mark's content names. Raises DamageError unless it is the one that its name says."""
    try:
        key = content.decode("ascii")
    except UnicodeDecodeError:
        key = ""
    if not is_key(key) or _hash(key) != mark.hashed:
        raise DamageError(f"{mark.key} is damaged: it names another key", object_name=mark.key)
    return key


def parse_mark(key: str) -> Mark | None:
    """What a mark's own key says, or None when it is none."""
    match = _MARK.fullmatch(key)
    return Mark(key, int(match[1]), match[2]) if match is not None else None


def _hash(key: str) -> str:
    return blake3(key.encode()).hexdigest(16)
