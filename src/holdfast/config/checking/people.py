"""Whose names are whose: each is one person's, and whoever signs in may also have a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.model import Config

__all__ = ["check_people", "look_at_people", "unknown_people"]

_KINDS: Final = ("key:", "user:", "api-key:", "machine:")
_IDLE: Final = ("settings", "policies")


def check_people(subject: Subject) -> Iterator[Said]:
    """A name of two people would let one of them approve in the name of the other."""
    people = subject.config.identity.people
    of = {person: person for person in people}
    for person, names in people.items():
        path = ("identity", "people", person)
        for number, name in enumerate(names):
            if name.startswith(":") or (":" in name and not name.startswith(_KINDS)):
                yield Said((*path, number), f"`{name[:80]}` begins with none of {', '.join(_KINDS)}")
            elif name in _KINDS:
                yield Said((*path, number), f"`{name}` names nobody")
            before = of.setdefault(name, person)
            if before != person or name == person or name in names[:number]:
                whose = f"`{before}`'s, too" if before != person else "named twice"
                yield Said((*path, number), f"`{name[:80]}` is {whose}: each name is one person's")


def look_at_people(subject: Subject) -> Iterator[Said]:
    """What is declared and not done; and where nobody can tell whether a key and a login are of two people."""
    for field in _IDLE:
        if getattr(subject.config.identity, field):
            yield Said(("identity", field), f"`{field}` is read and checked, and nothing acts on it yet")
    unknown = unknown_people(subject.config)
    if unknown:
        yield Said(("serve", "vouches"), unknown)


def unknown_people(config: Config) -> str:
    """What cannot be approved where people sign in, and have keys, and nothing says whose; empty: that is said."""
    keys = any(name.startswith("key:") for names in config.identity.people.values() for name in names)
    if keys or not config.serve.vouches:
        return ""
    return (
        "nothing says whose keys are whose (`identity: {people: …}`): what somebody asks for with a key of their own"
        " nobody approves by signing in, nor the other way round"
    )
