"""Who may sign entries, and what they have signed: one entry, or a group of them, as it lies in a spool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.audit.entries import Entry, MemberEntry, check_entry, decode_leaf, encode
from holdfast.audit.groups import (
    ENTRY_STATEMENT,
    GROUP_BYTES_MAX,
    Head,
    MemberGroup,
    decode_group,
    expand,
    head_of,
    is_group,
    verify_entry,
)
from holdfast.audit.tiles import ENTRY_BYTES_MAX
from holdfast.errors import UntrustedError
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["SPOOLED_BYTES_MAX", "Member", "Spooled", "check_signed", "decode_spooled", "sign_entry"]

SPOOLED_BYTES_MAX = max(GROUP_BYTES_MAX, ENTRY_BYTES_MAX)


class Member(NamedTuple):
    """Someone who may sign entries. `public`: 1,984 bytes. `revoked_ns`: what it signs after that does not count."""

    label: str
    role: str
    public: bytes
    revoked_ns: int | None = None


def sign_entry(signer: SigningKey, log: str, number: int, previous: str, entry: Entry) -> bytes:
    """The bytes of the entry in the member's hand. Raises UsageError for what cannot be an entry."""
    check_entry(entry)
    bare = MemberEntry(
        log=log, member=fingerprint(signer.public), number=number, previous=previous, entry=entry, signature=b""
    )
    return encode(msgspec.structs.replace(bare, signature=signer.sign(ENTRY_STATEMENT + encode(bare))))


def check_signed(signed: MemberEntry, log: str, members: Mapping[str, Member], name: str) -> Member:
    """That it is of this log, of a member, in that member's own name. Raises UntrustedError.

    Whether the member was revoked is another question: see `Member.revoked_ns`.
    """
    member = _check_speaker(signed.member, signed.log, signed.entry, log, members, name)
    verify_entry(signed, member.public, name)
    return member


class Spooled(NamedTuple):
    """An object of a spool: the leaves that it becomes, and the chain that it is part of. `at_ns`: the latest time that
    its entries say; `head`: after it.
    """

    leaves: list[bytes]
    previous: str
    head: Head
    at_ns: int
    member: Member


def decode_spooled(
    data: bytes, log: str, member: str, number: int, members: Mapping[str, Member], name: str
) -> Spooled:
    """What that member wrote under that number. Raises DamageError, UntrustedError.

    Whether the member was revoked is another question: see `Member.revoked_ns`.
    """
    group = decode_group(data, name) if is_group(data) else None
    signed = group if group is not None else decode_leaf(data, name).signed
    if signed is None or not number or (signed.member, signed.number) != (member, number):
        raise UntrustedError(f"{name} is not signed as what its name says", object_name=name)
    if group is None:
        assert isinstance(signed, MemberEntry)
        known = check_signed(signed, log, members, name)
        return Spooled([data], signed.previous, head_of(number, data), signed.entry.at_ns, known)
    return _decode_group(group, log, members, name)


def _decode_group(group: MemberGroup, log: str, members: Mapping[str, Member], name: str) -> Spooled:
    for entry in group.entries:
        known = _check_speaker(group.member, group.log, entry, log, members, name)
    leaves, head = expand(group, known.public, name)
    return Spooled(leaves, group.previous, head, max(entry.at_ns for entry in group.entries), known)


def _check_speaker(
    mark: str, written_for: str, entry: Entry, log: str, members: Mapping[str, Member], name: str
) -> Member:
    member = members.get(mark)
    if member is None:
        raise UntrustedError(f"{name} is signed by {mark[:8]}…, who is not a member", object_name=name)
    actor = entry.actor
    if (actor.fingerprint, actor.label, actor.role) != (mark, member.label, member.role):
        raise UntrustedError(f"{name} is signed by {member.label!r} and speaks for somebody else", object_name=name)
    if written_for != log:
        raise UntrustedError(f"{name} was written for another log", object_name=name)
    return member
