"""Several entries of one member under one signature: what it records at once is signed once.

In the spool a group is one object: JSON with sorted keys, `{"entries", "log", "member", "number", "previous",
"signature", "v"}`. In the log each entry is a leaf of its own, as any other of a member, and says itself that it is
signed: its signature is then made of its place in the group, the root of the group's tree (RFC 6962), the hashes beside
the way up to that, and the one signature of the root. So a proof of one entry shows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import msgspec

from holdfast.audit.entries import Entry, MemberEntry, check_entry, decode_leaf, encode
from holdfast.audit.merkle import HASH_SIZE, hash_leaf, inclusion_proof, root_of, verify_inclusion
from holdfast.errors import DamageError, UntrustedError
from holdfast.trust.signing import SIGNATURE_SIZES, SigningKey, fingerprint, verify

__all__ = [
    "ENTRY_STATEMENT",
    "GROUP_BYTES_MAX",
    "GROUP_ENTRIES_MAX",
    "NO_HEAD",
    "Expanded",
    "Head",
    "MemberGroup",
    "decode_group",
    "expand",
    "head_of",
    "head_of_signed",
    "is_group",
    "sign_group",
    "verify_entry",
]

GROUP_ENTRIES_MAX = 256
GROUP_BYTES_MAX = 1 << 20  # of the object
_BEGINNING = b'{"entries":'  # sorted keys: no other object of a spool begins so
ENTRY_STATEMENT = b"holdfast 1 audit entry\0"
_GROUP = b"holdfast 1 audit entries\0"
_PLACE = 2  # bytes of a number of an entry in its group, big endian
_VERSION = 1
_NUMBER_MAX = 10**10 - 1


class Head(NamedTuple):
    """The last entry of a member: its number, and the hash that its next one names, in hex."""

    number: int
    hash: str


NO_HEAD = Head(0, "")


class MemberGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`number`: of the first entry; the others follow. `previous`: the hash of the member's entry before that."""

    v: int = _VERSION
    log: str
    member: str
    number: int
    previous: str
    entries: list[Entry]
    signature: bytes

    @property
    def last(self) -> int:
        """The number of the last entry."""
        return self.number + len(self.entries) - 1


class Expanded(NamedTuple):
    """The leaves that a group becomes, in their order, and the head after the last one."""

    leaves: list[bytes]
    head: Head


def is_group(data: bytes) -> bool:
    return data.startswith(_BEGINNING)


def sign_group(
    signer: SigningKey, log: str, number: int, previous: str, entries: Sequence[Entry]
) -> tuple[bytes, Head]:
    """The bytes of the group in the member's hand, and the head after it. Raises UsageError for what cannot be one."""
    for entry in entries:
        check_entry(entry)
    mark = fingerprint(signer.public)
    bare = MemberGroup(log=log, member=mark, number=number, previous=previous, entries=list(entries), signature=b"")
    statements = _statements(bare)
    root = root_of([hash_leaf(encode(one)) for one in statements])
    signed = msgspec.structs.replace(bare, signature=signer.sign(_message(len(entries), root)))
    return _encode(signed), head_of_signed(statements[-1])


def decode_group(data: bytes, name: str) -> MemberGroup:
    """Raises DamageError for what is no group, or is not written as one. Nothing of it is verified."""
    try:
        group = msgspec.json.decode(data, type=MemberGroup) if len(data) <= GROUP_BYTES_MAX else None
        sound = group is not None and _is_sound(group) and _encode(group) == data
    except (msgspec.MsgspecError, ValueError, RecursionError):
        group, sound = None, False
    if group is None or not sound:
        raise DamageError(f"{name} is not a group of entries of an audit log", object_name=name)
    for statement in _statements(group):
        decode_leaf(encode(statement), name)
    return group


def expand(group: MemberGroup, public: bytes, name: str) -> Expanded:
    """What its member signed, leaf by leaf. `public`: the member's key. Raises UntrustedError."""
    statements = _statements(group)
    levels = [[hash_leaf(encode(one)) for one in statements]]
    root, size = root_of(levels[0]), len(statements)
    verify(public, _message(size, root), group.signature)
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([root_of(below[at : at + 2]) for at in range(0, len(below) & ~1, 2)])

    def node(level: int, index: int) -> bytes:
        return levels[level][index]

    leaves = []
    for at, statement in enumerate(statements):
        path = inclusion_proof(at, size, node)
        signature = b"".join([_place(size), _place(at), root, *path, group.signature])
        leaves.append(encode(msgspec.structs.replace(statement, signature=signature)))
    return Expanded(leaves, head_of_signed(statements[-1]))


def verify_entry(signed: MemberEntry, public: bytes, name: str) -> None:
    """That the holder of `public` signed it, alone or in a group. Raises UntrustedError."""
    statement = encode(msgspec.structs.replace(signed, signature=b""))
    if not _of_group(signed.signature):
        verify(public, ENTRY_STATEMENT + statement, signed.signature)
        return
    size, at, root, path, signature = _parts(signed.signature)
    try:
        verify_inclusion(hash_leaf(statement), at, size, path, root)
    except DamageError as error:
        raise UntrustedError(f"{name} is not in the group that its member signed", object_name=name) from error
    _verify_once(bytes(public), _message(size, root), signature)


def head_of(number: int, data: bytes) -> Head:
    """Of a leaf. Raises DamageError."""
    signed = decode_leaf(data, f"entry number {number}").signed
    if signed is None:
        raise DamageError(f"entry number {number} is in the log's own name")
    return Head(number, head_of_signed(signed).hash if _of_group(signed.signature) else sha256(data).hexdigest())


def head_of_signed(statement: MemberEntry) -> Head:
    """Of an entry of a group: SHA-256 of it with an empty signature, which is made after all of the group."""
    bare = msgspec.structs.replace(statement, signature=b"")
    return Head(statement.number, sha256(encode(bare)).hexdigest())


@lru_cache(maxsize=64)
def _verify_once(public: bytes, message: bytes, signature: bytes) -> None:
    """The entries of a group come one after the other, each with the same signature."""
    verify(public, message, signature)


def _of_group(signature: bytes) -> bool:
    return len(signature) not in SIGNATURE_SIZES


def _parts(data: bytes) -> tuple[int, int, bytes, list[bytes], bytes]:
    """Size of the group, place in it, root, path, signature. Raises UntrustedError."""
    size, at = (int.from_bytes(data[start : start + _PLACE], "big") for start in (0, _PLACE))
    for length in SIGNATURE_SIZES:
        hashes = len(data) - 2 * _PLACE - length
        if 1 < size <= GROUP_ENTRIES_MAX and hashes >= 2 * HASH_SIZE and hashes % HASH_SIZE == 0:
            start = 2 * _PLACE
            found = [data[place : place + HASH_SIZE] for place in range(start, start + hashes, HASH_SIZE)]
            return size, at, found[0], found[1:], data[start + hashes :]
    raise UntrustedError("a signature has a length that none has")


def _statements(group: MemberGroup) -> list[MemberEntry]:
    """The entries as each is signed: with its number and the hash of the one before, and an empty signature."""
    found: list[MemberEntry] = []
    previous = group.previous
    for number, entry in enumerate(group.entries, group.number):
        one = MemberEntry(
            log=group.log, member=group.member, number=number, previous=previous, entry=entry, signature=b""
        )
        previous = head_of_signed(one).hash
        found.append(one)
    return found


def _is_sound(group: MemberGroup) -> bool:
    counted = 1 < len(group.entries) <= GROUP_ENTRIES_MAX
    return group.v == _VERSION and counted and group.number > 0 and group.last <= _NUMBER_MAX


def _message(size: int, root: bytes) -> bytes:
    return _GROUP + size.to_bytes(8, "big") + root


def _place(number: int) -> bytes:
    return number.to_bytes(_PLACE, "big")


def _encode(group: MemberGroup) -> bytes:
    return msgspec.json.encode(group, order="sorted")
