"""What lies at the stores of the lever that stops all drills. docs/format/vault-1.md, "Stops".

A stop counts until a release names it: so an old release, shown again, lifts nothing that was said after it, and clocks
decide nothing. A stop is signed by any member who may write, a release by a keeper.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from holdfast.errors import DamageError

__all__ = ["RELEASES", "STOPS", "Release", "Stop", "decode_release", "decode_stop"]

STOPS: Final = "automatic/stops/"
RELEASES: Final = "automatic/releases/"
_TEXT_MAX: Final = 1000
_OVER_MAX: Final = 500


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No drill runs, since `at` (ns), because of `reason`, as `by` said."""

    id: str
    by: str
    at: int
    reason: str


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stops named in `over` are lifted, and no other."""

    id: str
    by: str
    at: int
    reason: str
    over: tuple[str, ...]


T = TypeVar("T", Stop, Release)


def decode_stop(key: str, body: bytes) -> Stop:
    """The record of the object under `key`. Raises DamageError."""
    return _decoded(key, body, Stop, STOPS)


def decode_release(key: str, body: bytes) -> Release:
    """The record of the object under `key`. Raises DamageError."""
    made = _decoded(key, body, Release, RELEASES)
    if len(made.over) > _OVER_MAX or not all(0 < len(one) <= _TEXT_MAX for one in made.over):
        raise DamageError(f"{key} holds no release: it says what cannot be", object_name=key)
    return made


def _decoded(key: str, body: bytes, kind: type[T], prefix: str) -> T:
    try:
        made = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{key} says nothing of drills ({error})", object_name=key) from error
    texts = (made.by, made.reason)
    if key != f"{prefix}{made.id}" or made.at < 0:
        raise DamageError(f"{key} holds what has another name, or cannot be", object_name=key)
    if not all(text and text.isprintable() and len(text) <= _TEXT_MAX for text in texts):
        raise DamageError(f"{key} says nothing of drills that could be shown", object_name=key)
    return made
