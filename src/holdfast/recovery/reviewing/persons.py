"""Who stands behind what is said in a journal: separation of duty is between persons, not between keys. Pure.

Entries are `by` a label of a key, or by `<label>/<person>` where whoever holds that key vouches for a person whom they
identified: a server does. A vouched person counts only where that label is one of those that may vouch; a person goes
by several names (a user at an identity provider, labels of keys), which `names` brings together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["KEY", "PLANE", "NOBODY_VOUCHES", "Persons", "signing_label"]

KEY = "key:"
"""What a label is called in `Persons.names`."""


PLANE = "plane:"
"""How names of control planes begin. Any keeper's key may sign for one: a control plane is no person."""


def signing_label(by: str) -> str:
    """The label of the key that has to sign what is said by `by`. No label has a slash in it."""
    return by.partition("/")[0]


class Persons(msgspec.Struct, frozen=True, kw_only=True):
    """`vouchers`: labels that may vouch. `names`: `key:<label>`, or what a server calls a person → the person."""

    vouchers: frozenset[str] = frozenset()
    names: Mapping[str, str] = {}

    def behind(self, by: str) -> str:
        """The person behind `by`; the same text for the same person."""
        label, slash, person = by.partition("/")
        return self.named(person if slash else KEY + label)

    def named(self, name: str) -> str:
        """The person of that name, who may go by others, too."""
        return self.names.get(name, name)

    def are_one(self, one: str, other: str) -> bool:
        """Whether both are the same person, as far as is known. What a label says that may not vouch is its own."""
        return bool(self._all(one) & self._all(other))

    def may_say(self, by: str) -> bool:
        """Whether what is said by `by` counts as said by that person: the key's own holder, or vouched for."""
        if by.startswith(PLANE):
            return False
        label, slash, person = by.partition("/")
        return not slash or (label in self.vouchers and bool(person))

    def _all(self, by: str) -> set[str]:
        found = {self.behind(by)}
        if not self.may_say(by):
            found.add(self.behind(signing_label(by)))
        return found


NOBODY_VOUCHES: Final = Persons()
