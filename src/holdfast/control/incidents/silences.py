"""Maintenance silences: somebody says that nobody is to be woken of something, why, and until when."""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.incidents.documents import Documents, new_name
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, UsageError
from holdfast.notifying.model import Silence
from holdfast.vault.format.keys import VaultKeys

__all__ = ["SILENCES", "Silences", "decode_silence"]

SILENCES: Final = "automatic/silences/"
LONGEST_S: Final = 7 * 86_400.0
_TEXT_MAX: Final = 400


class Silences:
    """As whoever holds these keys sees and makes them. Each ends at latest after a week."""

    def __init__(self, sites: DeclaredSites, keys: VaultKeys) -> None:
        self._sites, self._keys = sites, keys
        self._documents = Documents(sites, keys, SILENCES, _decoded, lambda one: (one.owner, one.since))

    def add(self, matches: str, reason: str, seconds: float, owner: str = "") -> Silence:
        """`matches`: an asset, a site, a kind or subject of incidents, or `*`. `owner`: a person that is vouched for.

        Raises UsageError, and what signing and writing raise.
        """
        if not 0 < seconds <= LONGEST_S:
            raise UsageError("a silence lasts for more than no time, and at most a week", hint="--for 2h")
        for text in (matches, reason):
            if not text.strip() or not text.isprintable() or len(text) > _TEXT_MAX:
                raise UsageError("a silence says in one line what it is of, and in one why")
        now, label = self._sites.clock.now_ns(), self._keys.label
        name = new_name(now)
        by = label if owner in ("", label) else f"{label}/{owner}"
        until = now + int(seconds * NANOSECONDS)
        made = Silence(id=name, matches=matches, reason=reason, owner=by, since=now, until=until)
        self._documents.write(f"{SILENCES}{name}", msgspec.json.encode(made, order="sorted"))
        return made

    def current(self) -> list[Silence]:
        """Those that have not ended."""
        now = self._sites.clock.now_ns()
        found, _ = self._documents.read()
        return [one.what for one in found if one.what.until > now]


def decode_silence(key: str, body: bytes) -> Silence:
    """Raises DamageError."""
    try:
        made = msgspec.json.decode(body, type=Silence)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{key} holds no silence ({error})", object_name=key) from error
    texts = (made.id, made.matches, made.reason, made.owner)
    sound = all(text and text.isprintable() and len(text) <= _TEXT_MAX for text in texts)
    if not sound or made.since < 0 or not 0 < made.until - made.since <= LONGEST_S * NANOSECONDS:
        raise DamageError(f"{key} holds no silence: it says what cannot be", object_name=key)
    return made


def _decoded(key: str, body: bytes) -> Silence:
    made = decode_silence(key, body)
    if key != f"{SILENCES}{made.id}":
        raise DamageError(f"{key} holds a silence of another name", object_name=key)
    return made
