"""Entries of members who have no key of the log: a series of their own, signed, each naming the one before.

`audit/pending/<member>/<number>`, created once. Who holds the log's key puts them into the log as they are. A member
can add entries in its own name and nothing else; what is taken out or changes places shows in the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec

from holdfast.audit.entries import Entry, MemberEntry, check_entry, decode_leaf, encode
from holdfast.audit.layout import create_same, generation_in, pending_key, pending_prefix
from holdfast.audit.tiles import ENTRY_BYTES_MAX
from holdfast.errors import AlreadyExistsError, ConflictError, DamageError, ObjectNotFoundError, UntrustedError
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SigningKey, fingerprint, verify

__all__ = ["Member", "Head", "NO_HEAD", "Memory", "Spool", "sign_entry", "check_signed", "head_of"]

_ATTEMPTS = 50
_STATEMENT = b"holdfast 1 audit entry\0"


class Member(NamedTuple):
    """Someone who may sign entries. `public`: 1,984 bytes. `revoked_ns`: what it signs after that does not count."""

    label: str
    role: str
    public: bytes
    revoked_ns: int | None = None


class Head(NamedTuple):
    """The last entry of a member: its number, and the SHA-256 of its bytes in hex."""

    number: int
    hash: str


NO_HEAD = Head(0, "")


class Memory(Protocol):
    """Where a machine remembers what a member wrote last: so that its disappearing shows."""

    def recall(self, member: str) -> Head: ...

    def remember(self, member: str, head: Head) -> None: ...


class _Forgetful:
    def recall(self, member: str) -> Head:
        return NO_HEAD

    def remember(self, member: str, head: Head) -> None:
        return


def sign_entry(signer: SigningKey, log: str, number: int, previous: str, entry: Entry) -> bytes:
    """The bytes of the entry in the member's hand. Raises UsageError for what cannot be an entry."""
    check_entry(entry)
    bare = MemberEntry(
        log=log, member=fingerprint(signer.public), number=number, previous=previous, entry=entry, signature=b""
    )
    return encode(msgspec.structs.replace(bare, signature=signer.sign(_STATEMENT + encode(bare))))


def check_signed(signed: MemberEntry, log: str, members: Mapping[str, Member], name: str) -> Member:
    """That it is of this log, of a member, in that member's own name. Raises UntrustedError.

    Whether the member was revoked is another question: see `Member.revoked_ns`.
    """
    member = members.get(signed.member)
    if member is None:
        raise UntrustedError(f"{name} is signed by {signed.member[:8]}…, who is not a member", object_name=name)
    actor = signed.entry.actor
    if (actor.fingerprint, actor.label, actor.role) != (signed.member, member.label, member.role):
        raise UntrustedError(f"{name} is signed by {member.label!r} and speaks for somebody else", object_name=name)
    if signed.log != log:
        raise UntrustedError(f"{name} was written for another log", object_name=name)
    verify(member.public, _STATEMENT + encode(msgspec.structs.replace(signed, signature=b"")), signed.signature)
    return member


def head_of(number: int, data: bytes) -> Head:
    return Head(number, sha256(data).hexdigest())


class Spool:
    """The series of one member on one store. Several machines may share a member's key: they take turns."""

    def __init__(
        self,
        store: Store,
        log: str,
        signer: SigningKey,
        *,
        memory: Memory | None = None,
        sequenced: Callable[[], Head] = lambda: NO_HEAD,
    ) -> None:
        """`sequenced`: this member's last entry in the log itself; asked only where the store has no other trace."""
        self._store = store
        self._log = log
        self._signer = signer
        self.member = fingerprint(signer.public)
        self._memory = memory or _Forgetful()
        self._sequenced = sequenced
        self._head: Head | None = None

    def append(self, entry: Entry) -> str:
        """Write the next one; returns its key. A create and a listing, as a rule.

        Raises UsageError, ConflictError (others took every number that was tried), and what the store raises.
        """
        head = self._head or self._find_head()
        number = head.number + 1
        for _ in range(_ATTEMPTS):
            key = pending_key(self.member, number)
            data = sign_entry(self._signer, self._log, number, head.hash, entry)
            if create_same(self._store, key, data):
                mine = head_of(number, data)
                later = self._overtaken(mine)
                if later is None:
                    self._note(mine)
                    return key
                head, number = later, later.number + 1
                continue
            other = self._own(key)
            if other is not None:  # another machine with this key was faster
                head = other
            number += 1  # somebody without it only sits on the number: the chain goes on above
        raise ConflictError(f"{_ATTEMPTS} numbers of {pending_prefix(self.member)} were taken", hint="try again")

    def _overtaken(self, mine: Head) -> Head | None:
        """The member's last entry, where another machine wrote it without knowing of this one.

        A number may be free because what had it is in the log and was taken away. The last one of a member is never
        taken away: so whoever got such a number sees a higher one now, and what he wrote there will not be looked at.
        """
        prefix = pending_prefix(self.member)
        listed = self._store.list(prefix, pending_key(self.member, mine.number))
        keys = [info.key for info in listed if info.size <= ENTRY_BYTES_MAX]
        found = [own for key in keys[-_ATTEMPTS:] if (own := self._own(key)) is not None]
        if not found or self._previous(found[0]) == mine.hash:
            return None
        try:
            self._store.head(pending_key(self.member, mine.number))
        except ObjectNotFoundError:
            return None  # it is in the log already, and so are those that followed on it
        return found[-1]

    def _previous(self, head: Head) -> str:
        key = pending_key(self.member, head.number)
        try:
            signed = decode_leaf(self._store.get(key), key).signed
        except (ObjectNotFoundError, DamageError):
            return ""
        return signed.previous if signed is not None else ""

    def _note(self, head: Head) -> None:
        self._head = head
        self._memory.remember(self.member, head)

    def _find_head(self) -> Head:
        """The last entry that is this member's, wherever a trace of it is left."""
        prefix, known = pending_prefix(self.member), self._memory.recall(self.member)
        after = pending_key(self.member, known.number) if known.number else ""
        keys = [info.key for info in self._store.list(prefix, after) if info.size <= ENTRY_BYTES_MAX]
        for key in reversed(keys[-_ATTEMPTS:]):
            found = self._own(key)
            if found is not None:
                return found
        return known if known.number else self._sequenced()

    def _own(self, key: str) -> Head | None:
        """The head that this object is, if it is truly this member's."""
        number = generation_in(key, pending_prefix(self.member))
        try:
            data = self._store.get(key)
            signed = decode_leaf(data, key).signed
            if signed is None or (signed.member, signed.number) != (self.member, number):
                return None
            actor = signed.entry.actor
            own = {self.member: Member(actor.label, actor.role, self._signer.public)}
            check_signed(signed, self._log, own, key)
        except (ObjectNotFoundError, DamageError, UntrustedError, AlreadyExistsError):
            return None
        return head_of(number, data)
