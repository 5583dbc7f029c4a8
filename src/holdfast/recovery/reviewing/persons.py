"""Who stands behind what is said in a journal: separation of duty is between persons, not between keys. Pure.

Entries are `by` a label of a key, or by `<label>/<person>` where whoever holds that key vouches for a person whom they
identified: a server does. A vouched person counts only where that label is one of those that may vouch; a person goes
by several names (a user at an identity provider, labels of keys), which `names` brings together.

Where nothing says whose a name is, two names of one kind (two keys, two users of one identity provider) are two people:
each is given to one. A key and a login may be one person's, and so may users of two identity providers: they are not
taken for two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

__all__ = ["KEY", "PLANE", "NOBODY_VOUCHES", "Persons", "signing_label"]

KEY = "key:"
"""What a label is called in `Persons.names`."""


PLANE = "plane:"
"""How names of control planes begin. Any keeper's key may sign for one: a control plane is no person."""


_USER: Final = "user:"
_KINDS: Final = (_USER, "api-key:", "machine:")
_SERVER: Final = "server"
_NAME: Final = "name"


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

    def are_two(self, one: str, other: str) -> bool:
        """Whether both are known to be different people: names of one kind, or names that are both listed.

        A key that vouches, speaking for nobody, is a server's own: it is nobody else's, and could say anything anyway.
        """
        if self.are_one(one, other):
            return False
        kinds = {self._kind(one), self._kind(other)}
        return len(kinds) == 1 or _SERVER in kinds or (self._is_listed(one) and self._is_listed(other))

    def distinct(self, said: Iterable[str]) -> set[str]:
        """The most of these, one for each, who are known to be different people: each two of them by `are_two`."""
        given = sorted(set(said))
        groups = [[by for by in given if self._is_listed(by)]]
        groups += [[by for by in given if self._kind(by) == kind] for kind in {self._kind(by) for by in given}]
        anyway = {self.behind(by): by for by in given if self._kind(by) == _SERVER}
        found = [anyway | {self.behind(by): by for by in group} for group in groups]
        return set(max(found, key=len).values())

    def to_list(self, said: Iterable[str]) -> str:
        """What to write into holdfast.yaml so that these are known to be different people, but for names to fill in."""
        missing = dict.fromkeys(self._name(by) for by in said if not self._is_listed(by) and self._kind(by) != _SERVER)
        people = (f"PERSON-{number}: [{json.dumps(name)}]" for number, name in enumerate(missing, 1))
        return f"identity: {{people: {{{', '.join(people)}}}}}"

    def _kind(self, by: str) -> str:
        label, slash, person = by.partition("/")
        if not slash or not self.may_say(by):
            return _SERVER if not slash and label in self.vouchers else KEY
        kind = next((kind for kind in _KINDS if person.startswith(kind)), _NAME)
        return person.partition("#")[0] if kind == _USER else kind

    def _name(self, by: str) -> str:
        """Which name it was said under: that of the key where its holder may not speak for others."""
        label, slash, person = by.partition("/")
        return person if slash and self.may_say(by) else KEY + label

    def _is_listed(self, by: str) -> bool:
        return self._name(by) in self.names

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
