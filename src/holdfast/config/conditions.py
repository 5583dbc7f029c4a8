"""Conditions of `holdfast.yaml`: probes joined by words, `ATLEAST 2 OF (a, b, c) AND NOT d FOR 5m`.

::

    either  = both {"OR" both}
    both    = lasting {"AND" lasting}
    lasting = inverse ["FOR" duration]
    inverse = "NOT" inverse | one
    one     = "ATLEAST" number "OF" "(" either {"," either} ")" | "(" either ")" | name

`NOT` binds closest, then `FOR`, `AND`, `OR`. The words are capitals; names are those of probes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from holdfast.errors import UsageError
from holdfast.units import parse_duration

__all__ = ["AtLeast", "Condition", "Lasting", "Not", "Probed", "names_in", "parse_condition", "shown_condition"]

_TEXT_MAX: Final = 400
_DEPTH_MAX: Final = 20
_TOKEN: Final = re.compile(r"\s*([(),]|[^\s(),]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DURATION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|min|h|d)")
_WORDS: Final = frozenset({"AND", "OR", "NOT", "FOR", "OF", "ATLEAST"})


class Probed(NamedTuple):
    """True while the probe of that name is bad."""

    name: str


class Not(NamedTuple):
    """The inverse of a condition."""

    of: Condition


class AtLeast(NamedTuple):
    """True while so many are. `word`: `AND` (all), `OR` (one) or `ATLEAST`, as it was written."""

    number: int
    of: tuple[Condition, ...]
    word: str


class Lasting(NamedTuple):
    """True once the condition has been true for `seconds` without a break."""

    of: Condition
    seconds: float


Condition = Probed | Not | AtLeast | Lasting


def parse_condition(text: str) -> Condition:
    """Raises UsageError that says what is the matter, and where."""
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise UsageError(f"a condition is one line of at most {_TEXT_MAX} characters")
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    parser = _Parser(tokens)
    found = parser.either(0)
    if parser.left:
        parser.refuse(f"{parser.left[0][:40]!r} was not expected there")
    return found


def names_in(condition: Condition) -> list[str]:
    """The probes that it asks for, each once, in their order."""
    return list(dict.fromkeys(_names(condition)))


def _names(condition: Condition) -> Iterator[str]:
    match condition:
        case Probed(name):
            yield name
        case Not(of) | Lasting(of, _):
            yield from _names(of)
        case AtLeast(_, parts, _):
            for part in parts:
                yield from _names(part)


def shown_condition(condition: Condition) -> str:
    """As it could be written: parsing it gives the same."""
    match condition:
        case Probed(name):
            return name
        case Not(of):
            return f"NOT {_closed(of)}"
        case Lasting(of, seconds):
            return f"{_closed(of)} FOR {_duration(seconds)}"
        case AtLeast(number, parts, "ATLEAST"):
            return f"ATLEAST {number} OF ({', '.join(map(shown_condition, parts))})"
        case AtLeast(_, parts, word):
            return f" {word} ".join(map(_closed, parts))


def _closed(condition: Condition) -> str:
    text = shown_condition(condition)
    bare = isinstance(condition, Probed) or (isinstance(condition, AtLeast) and condition.word == "ATLEAST")
    return text if bare else f"({text})"


def _duration(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens

    def either(self, depth: int) -> Condition:
        return self._joined("OR", depth)

    def _joined(self, word: str, depth: int) -> Condition:
        if depth > _DEPTH_MAX:
            self.refuse("it is nested too deeply")

        def part() -> Condition:
            return self._joined("AND", depth) if word == "OR" else self._lasting(depth)

        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else AtLeast(1 if word == "OR" else len(parts), tuple(parts), word)

    def _lasting(self, depth: int) -> Condition:
        found = self._inverse(depth)
        if not self._take("FOR"):
            return found
        text = self._next("a duration, as in 5m")
        if not _DURATION.fullmatch(text):
            self.refuse(f"{text[:40]!r} is not a duration, as in 90s, 5m or 2h")
        return Lasting(found, parse_duration(text))

    def _inverse(self, depth: int) -> Condition:
        if depth > _DEPTH_MAX:
            self.refuse("it is nested too deeply")
        return Not(self._inverse(depth + 1)) if self._take("NOT") else self._one(depth)

    def _one(self, depth: int) -> Condition:
        if self._take("("):
            found = self.either(depth + 1)
            self._need(")")
            return found
        if self._take("ATLEAST"):
            text = self._next("a number")
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
            self._need("OF")
            self._need("(")
            parts = [self.either(depth + 1)]
            while self._take(","):
                parts.append(self.either(depth + 1))
            self._need(")")
            if not 1 <= number <= len(parts):
                self.refuse(f"ATLEAST {text[:10]} OF {len(parts)} cannot be: 1 to {len(parts)}")
            return AtLeast(number, tuple(parts), "ATLEAST")
        name = self._next("the name of a probe")
        if not _NAME.fullmatch(name) or name in _WORDS:
            self.refuse(f"the name of a probe was expected, and not {name[:40]!r}")
        return Probed(name)

    def _take(self, token: str) -> bool:
        if self.left and self.left[0] == token:
            self.left = self.left[1:]
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            self.refuse(
                f"`{token}` was expected" + (f", and not {self.left[0][:40]!r}" if self.left else " at its end")
            )

    def _next(self, what: str) -> str:
        if not self.left:
            self.refuse(f"{what} was expected at its end")
        found, self.left = self.left[0], self.left[1:]
        return found

    def refuse(self, why: str) -> NoReturn:
        raise UsageError(f"this is no condition: {why}", hint="ATLEAST 2 OF (a, b, c) AND NOT d FOR 5m")
