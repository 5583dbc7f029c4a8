"""What one entry of the log says, and how it is written: JSON with sorted keys, one way only.

`{"action", "actor": {"fingerprint", "label", "role"}, "at_ns", "decision", "id", "objects", "origin", "outcome",
"policies", "v"}`. An entry of a member (who has no key of the log) is wrapped and signed, see `holdfast.audit.spool`.
Bytes that do not come out the same when they are written again are no entry: so an entry has one hash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from holdfast.errors import DamageError, UsageError

__all__ = [
    "VERSION",
    "ENTRY_MAX",
    "TEXT_MAX",
    "Actor",
    "Entry",
    "MemberEntry",
    "Leaf",
    "encode",
    "check_entry",
    "decode_leaf",
]

VERSION = 1
ENTRY_MAX = 16 << 10  # bytes of the JSON, without the wrapping
_WORD = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_HASH = re.compile(r"[0-9a-f]{64}|")
TEXT_MAX = 512
_ITEMS_MAX = 64


class Actor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who did it: the fingerprint of a signing key (32 hex digits, or empty for a program), its label and role."""

    fingerprint: str
    label: str
    role: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`objects`: kind → hash or id, never a plain name unless that was allowed. `origin`: machine or site, or empty."""

    v: int = VERSION
    id: str
    at_ns: int
    actor: Actor
    action: str
    decision: str
    policies: list[str]
    objects: dict[str, str]
    outcome: str
    origin: str


class MemberEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry in its member's own hand. `previous`: SHA-256 (hex) of the member's entry before it, or empty."""

    v: int = VERSION
    log: str
    member: str
    number: int
    previous: str
    entry: Entry
    signature: bytes


class Leaf(NamedTuple):
    """An entry as it lies in the log. `signed` is None for what the log's own keeper wrote."""

    entry: Entry
    signed: MemberEntry | None


def encode(value: Entry | MemberEntry) -> bytes:
    """The one way to write it."""
    return msgspec.json.encode(value, order="sorted")


def check_entry(entry: Entry) -> None:
    """Raises UsageError when it is not what an entry may be, or too large."""
    problem = _problem(entry)
    if problem:
        raise UsageError(f"this cannot be an entry of an audit log: {problem}")


def decode_leaf(data: bytes, name: str) -> Leaf:
    """Raises DamageError for what is no entry; `name` is for its message."""
    try:
        wrapped = b'"signature":' in data
        decoded: Entry | MemberEntry = (
            msgspec.json.decode(data, type=MemberEntry) if wrapped else msgspec.json.decode(data, type=Entry)
        )
        same = encode(decoded) == data
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamageError(f"{name} is not an entry of an audit log", object_name=name) from None
    entry = decoded.entry if isinstance(decoded, MemberEntry) else decoded
    problem = "it is not written as entries are" if not same else _problem(entry)
    if isinstance(decoded, MemberEntry) and not problem:
        problem = _problem_of_wrapping(decoded)
    if problem:
        raise DamageError(f"{name} is not an entry of an audit log: {problem}", object_name=name)
    return Leaf(entry, decoded if isinstance(decoded, MemberEntry) else None)


def _problem(entry: Entry) -> str:
    if entry.v != VERSION:
        return f"its version is {entry.v}, and {VERSION} is known here"
    if not _ID.fullmatch(entry.id):
        return "its id is malformed"
    if not 0 <= entry.at_ns < 1 << 63:
        return "its time is no time"
    return (
        _problem_of_words(entry)
        or _problem_of_texts([entry.outcome, entry.origin, entry.actor.label], "a text")
        or _problem_of_texts(entry.policies, "a policy")
        or _problem_of_objects(entry.objects)
        or ("it is too large" if len(encode(entry)) > ENTRY_MAX else "")
    )


def _problem_of_words(entry: Entry) -> str:
    for what, word in (("action", entry.action), ("decision", entry.decision), ("role", entry.actor.role)):
        if not _WORD.fullmatch(word):
            return f"its {what} is not a word (a letter, then letters, digits, `.`, `_`, `-`; in lower case)"
    if entry.actor.fingerprint and not _FINGERPRINT.fullmatch(entry.actor.fingerprint):
        return "the fingerprint of its actor is malformed"
    return ""


def _problem_of_texts(texts: Sequence[str], what: str) -> str:
    if len(texts) > _ITEMS_MAX:
        return f"it has more than {_ITEMS_MAX} policies"
    for text in texts:
        if len(text) > TEXT_MAX or any(ord(character) < 32 or ord(character) == 127 for character in text):
            return f"{what} of it is longer than {TEXT_MAX} characters or holds control characters"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return f"{what} of it is not valid Unicode"
    return ""


def _problem_of_objects(objects: Mapping[str, str]) -> str:
    if len(objects) > _ITEMS_MAX:
        return f"it names more than {_ITEMS_MAX} objects"
    if not all(_WORD.fullmatch(kind) for kind in objects):
        return "the kind of an object is not a word"
    return _problem_of_texts(list(objects.values()), "an object")


def _problem_of_wrapping(signed: MemberEntry) -> str:
    if signed.v != VERSION or not 0 < signed.number < 10**10:
        return "its number is malformed"
    if not _FINGERPRINT.fullmatch(signed.member) or not _HASH.fullmatch(signed.previous):
        return "its member, or the hash of the one before, is malformed"
    return ""
