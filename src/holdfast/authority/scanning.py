"""Cedar's text cut into statements and tokens, each with its line: the engine names neither lines nor columns.

It also keeps from the engine what the engine does not survive: its parser recurses, and 1,000 nested brackets end the
process (seen with cedarpy 4.12.2).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from holdfast.errors import CredentialError

__all__ = ["Token", "Statement", "statements_of", "refused_at", "FILE_BYTES_MAX"]

FILE_BYTES_MAX: Final = 256 << 10
_STATEMENT_CHARACTERS_MAX = 16 << 10
_TOKENS_MAX = 1_000
_DEPTH_MAX = 40

# Cedar's lexical grammar: https://docs.cedarpolicy.com/policies/syntax-grammar.html
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*|[0-9]+)
      | (?P<mark>::|==|!=|<=|>=|&&|\|\||[-@;,.:(){}\[\]<>!*+?=%/&|])
    """,
    re.VERBOSE,
)
_OPENING, _CLOSING = "([{", ")]}"


class Token(NamedTuple):
    """`end`: where it ends in the text of its statement."""

    text: str
    line: int
    end: int


class Statement(NamedTuple):
    """One policy: its text as it stands, the line of its first token, the values of its annotations."""

    text: str
    line: int
    tokens: tuple[Token, ...]
    annotations: dict[str, str]


def refused_at(name: str, line: int, sentence: str) -> CredentialError:
    """What is raised about a policy that is not taken: exit code 7, as all that the engine denies."""
    return CredentialError(
        f"{name}, line {line}: {sentence}", hint="`holdfast policy check` reads all policies again", object_name=name
    )


def statements_of(data: bytes, name: str) -> list[Statement]:
    """The statements of a file called `name`. Raises CredentialError with the line."""
    text = _decoded(data, name)
    found: list[Statement] = []
    at, line = 0, 1
    while True:
        statement, at, line = _statement(text, at, line, name)
        if statement is None:
            return found
        found.append(statement)


def _decoded(data: bytes, name: str) -> str:
    if len(data) > FILE_BYTES_MAX:
        raise refused_at(name, 1, f"the file has more than {FILE_BYTES_MAX >> 10} KiB, which no policies need")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise refused_at(name, data.count(b"\n", 0, error.start) + 1, "this is not UTF-8") from error


def _statement(text: str, at: int, line: int, name: str) -> tuple[Statement | None, int, int]:
    """The next statement from `at` on, up to its semicolon; where it ends, and in which line."""
    tokens: list[Token] = []
    begin, depth = at, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise refused_at(name, line, _strange(text, at))
        at = match.end()
        if match.lastgroup == "space":
            if not tokens:
                begin = at
        else:
            tokens.append(Token(match[0], line, at - begin))
            depth += (match[0] in _OPENING) - (match[0] in _CLOSING)
            _check_size(tokens, depth, name)
        line += match[0].count("\n")
        if match[0] == ";" and depth <= 0:
            return _made(text[begin:at], tokens, name), at, line
    if tokens:
        raise refused_at(name, tokens[0].line, "the policy that begins here does not end: it lacks its `;`")
    return None, at, line


def _check_size(tokens: list[Token], depth: int, name: str) -> None:
    last = tokens[-1]
    if depth > _DEPTH_MAX:
        raise refused_at(name, last.line, f"brackets are nested more than {_DEPTH_MAX} deep")
    if len(tokens) > _TOKENS_MAX or last.end > _STATEMENT_CHARACTERS_MAX:
        raise refused_at(name, tokens[0].line, "the policy that begins here is too long: make several of it")


def _strange(text: str, at: int) -> str:
    if text[at] == '"':
        return "the text that begins with this quotation mark does not end in its line"
    return f"{text[at]!a} is nothing that policies are written with"


def _made(text: str, tokens: list[Token], name: str) -> Statement:
    annotations: dict[str, str] = {}
    rest = list(tokens)
    while len(rest) >= 5 and [rest[0].text, rest[2].text, rest[4].text] == ["@", "(", ")"]:
        key, value = rest[1].text, rest[3]
        if key in ("id", "reason") and "\\" in value.text:
            raise refused_at(name, value.line, f"an @{key} is written without backslashes")
        annotations[key] = value.text.strip('"')
        rest = rest[5:]
    return Statement(text, tokens[0].line, tuple(tokens), annotations)
