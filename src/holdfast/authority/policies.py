"""Policies that were read, checked against the schema, and are ready to decide. Nothing here touches a file."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from holdfast.authority.scanning import Statement, refused_at, statements_of
from holdfast.authority.schema import schema, schema_text
from holdfast.errors import CredentialError

if TYPE_CHECKING:
    import cedarpy

__all__ = ["Rule", "Policies", "DEFAULT_FILES", "default_policies", "load_policies", "problems_in"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}")
_RULES_MAX: Final = 2_000
_BUILT_IN: Final = "holdfast:"
DEFAULT_FILES: Final = (
    "rules.cedar",
    "trainer.cedar",
    "operator.cedar",
    "keeper.cedar",
    "auditor.cedar",
    "owner.cedar",
    "members.cedar",
    "break-glass.cedar",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy. `id`: its `@id`, else its file and line. `reason`: its `@reason`, or nothing. `file`, `line`: where
    it stands; files that come with Holdfast begin with `holdfast:`.
    """

    id: str
    reason: str
    effect: str  # "permit" or "forbid"
    file: str
    line: int
    text: str

    @property
    def built_in(self) -> bool:
        return self.file.startswith(_BUILT_IN)


@dataclass(frozen=True, slots=True)
class Policies:
    """A set of policies that may be in force. `digest`: 64 hex digits over the texts and the schema."""

    rules: tuple[Rule, ...]
    digest: str
    engine: cedarpy.PolicySet

    @property
    def own(self) -> tuple[Rule, ...]:
        """Those that did not come with Holdfast."""
        return tuple(rule for rule in self.rules if not rule.built_in)


@cache
def _default_texts() -> Mapping[str, bytes]:
    folder = files("holdfast.authority").joinpath("defaults")
    return {f"{_BUILT_IN}{name}": folder.joinpath(name).read_bytes() for name in DEFAULT_FILES}


@cache
def default_policies() -> Policies:
    """Those that come with Holdfast, and are always in force."""
    return load_policies({})


def load_policies(texts: Mapping[str, bytes]) -> Policies:
    """The default policies and those of `texts` (file name → content).

    Raises CredentialError for the first that is not understood, or does not fit the schema: with file, line, sentence.
    """
    loaded, problems = _load(texts, all_of_them=False)
    if problems:
        raise problems[0]
    assert loaded is not None
    return loaded


def problems_in(texts: Mapping[str, bytes]) -> list[CredentialError]:
    """All that `load_policies` could refuse: one for each statement, or for each file that cannot be cut into them."""
    return _load(texts, all_of_them=True)[1]


def _load(texts: Mapping[str, bytes], *, all_of_them: bool) -> tuple[Policies | None, list[CredentialError]]:
    import cedarpy

    rules: list[Rule] = []
    problems: list[CredentialError] = []
    seen: dict[str, Rule] = {}
    for name, data in (*_default_texts().items(), *sorted(texts.items())):
        try:
            statements = statements_of(data, name)
        except CredentialError as problem:
            problems.append(problem)
            statements = []
        for statement in statements:
            try:
                if not name.startswith(_BUILT_IN):  # those of ours are tested
                    _check(statement, name)
                rules.append(_rule(statement, name, seen))
            except CredentialError as problem:
                problems.append(problem)
        if problems and not all_of_them:
            return None, problems
    if len(rules) > _RULES_MAX:
        problems.append(refused_at(rules[-1].file, rules[-1].line, f"there are more than {_RULES_MAX:,} policies"))
    if problems:
        return None, problems
    engine = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in rules))
    return Policies(tuple(rules), _digest(rules), engine), []


def _digest(rules: list[Rule]) -> str:
    digest = hashlib.sha256(schema_text().encode())
    for rule in rules:
        digest.update(b"\0" + rule.text.encode())
    return digest.hexdigest()


def _rule(statement: Statement, name: str, seen: dict[str, Rule]) -> Rule:
    stated = statement.annotations.get("id")
    if stated is not None and not _ID.fullmatch(stated):
        raise refused_at(name, statement.line, "an @id has up to 80 letters, digits, `.`, `_`, `:` and `-`")
    reason = statement.annotations.get("reason", "")
    if len(reason) > 200 or not reason.isprintable():
        raise refused_at(name, statement.line, "a @reason has up to 200 characters that can be printed")
    effect = next((token.text for token in statement.tokens if token.text in ("permit", "forbid")), "")
    rule = Rule(stated or f"{name}:{statement.line}", reason, effect, name, statement.line, statement.text)
    other = seen.setdefault(rule.id, rule)
    if other is not rule:
        raise refused_at(
            name, statement.line, f"{other.file}, line {other.line}, has a policy called {rule.id!r} already"
        )
    return rule


def _check(statement: Statement, name: str) -> None:
    """Syntax, then schema. Raises CredentialError."""
    import cedarpy

    message = _syntax_error(statement.text)
    if message:
        line, place = _place(statement, message)
        raise refused_at(name, line, f"{place}{message}")
    parsed = cedarpy.PolicySet.from_str(statement.text)
    if parsed.templates():
        raise refused_at(
            name, statement.line, "templates (`?principal`, `?resource`) are not used here: name whom it is for"
        )
    if len(parsed) != 1:
        raise refused_at(name, statement.line, "one policy was expected here")
    found = cedarpy.validate_policies(statement.text, schema())
    if not found.validation_passed:
        message = _first(error.error for error in found.errors)
        raise refused_at(name, _line_of_named(statement, message) or statement.line, message)


def _first(messages: Iterable[object]) -> str:
    """Without what the engine calls the policy, as nobody else does."""
    found = [re.sub(r"^for policy `[^`]*`, ", "", str(message)) for message in messages]
    return found[0] if found else "it does not fit the schema"


def _syntax_error(text: str) -> str:
    import cedarpy

    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        return str(error)
    return ""


_INCOMPLETE: Final = "unexpected end of input"


def _place(statement: Statement, message: str) -> tuple[int, str]:
    """The line of the first token that the grammar does not allow where it stands, and that token.

    The parser has the property of viable prefixes: what is cut before that token is incomplete and no more. So the
    shortest cut that is wrong in another way ends with it. Where only the whole is wrong, it is the meaning of
    something that the message names.
    """
    cuts = [token.end for token in statement.tokens]
    wrong = bisect_left(cuts, True, key=lambda end: _syntax_error(statement.text[:end]) not in ("", _INCOMPLETE))
    if wrong < len(cuts) - 1:
        token = statement.tokens[wrong]
        return token.line, "" if token.text in message else f"at `{token.text}`: "
    return _line_of_named(statement, message) or statement.line, ""


def _line_of_named(statement: Statement, message: str) -> int | None:
    """The line of the first token that the message quotes, if it quotes one."""
    quoted = re.findall(r"[`']([^`']+)[`']", message) + message.rsplit(": ", 1)[1:]
    for quote in quoted:
        for wanted in (quote, *reversed(re.findall(r'"[^"]*"|\w+', quote))):
            for token in statement.tokens:
                if token.text == wanted:
                    return token.line
    return None
