"""Rows of a server's own file."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Answer", "Claim", "DeviceCode", "SessionRow", "TokenRow"]


class SessionRow(NamedTuple):
    """Times are ns. `who`: a `Known`, encoded."""

    csrf: str
    who: bytes
    begun: int
    seen: int
    until: int


class TokenRow(NamedTuple):
    """`scopes`: actions and groups, with spaces between; None: no limit but the person's own."""

    id: str
    label: str
    who: bytes
    scopes: str | None
    begun: int
    until: int


class DeviceCode(NamedTuple):
    """`answer`: empty until a person says `allow` or `deny`; `taken` once a token was made of it."""

    code: str
    label: str
    scopes: str | None
    begun: int
    until: int
    polled: int
    answer: str
    who: bytes | None


class Answer(NamedTuple):
    """`body`: SHA-256 of what was asked. `memo`: what the verb noted before it acted. `status`: None until answered."""

    body: bytes
    at: int
    memo: bytes | None
    status: int | None
    headers: bytes | None
    content: bytes | None


class Claim(NamedTuple):
    """On doing a request. `memo`: what was noted by somebody who began it before, and died."""

    key: bytes
    name: str
    memo: bytes | None
