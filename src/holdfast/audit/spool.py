"""Entries of members who have no key of the log: a series of their own, signed, each naming the one before.

`audit/pending/<member>/<number>`, created once: an entry, or a group of entries that came at once (`groups`). Who holds
the log's key puts them into the log as they are. A member can add entries in its own name and nothing else; what is
taken out or changes places shows in the chain.

A writer knows its last object, and counts on from there; it lists only where that tells it too little. A number may be
free because what had it is in the log and was taken away. Objects are taken away in the order of their numbers, and
never the last one: so a number that was free is free for the first time as long as the object before it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from holdfast.audit.entries import Entry, check_entry, decode_leaf, encode
from holdfast.audit.groups import (
    GROUP_BYTES_MAX,
    GROUP_ENTRIES_MAX,
    NO_HEAD,
    Head,
    decode_group,
    head_of,
    is_group,
    sign_group,
)
from holdfast.audit.layout import create_same, generation_in, pending_key, pending_prefix
from holdfast.audit.members import SPOOLED_BYTES_MAX, Member, check_signed, decode_spooled, sign_entry
from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    FailedError,
    HoldfastError,
    ObjectNotFoundError,
    UntrustedError,
)
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["NO_HEAD", "Head", "Member", "Memory", "Spool", "check_signed", "head_of", "sign_entry"]

_ATTEMPTS = 50
_WAIT_SECONDS = 0.002  # for the others who recorded at the same time before; who is alone never waits
_GROUP_ENTRIES_BYTES = GROUP_BYTES_MAX // 2  # of entries; besides them there is a signature, and little else


class Memory(Protocol):
    """Where a machine remembers what a member wrote last: so that its disappearing shows."""

    def recall(self, member: str) -> Head: ...

    def remember(self, member: str, head: Head) -> None: ...


class _Forgetful:
    def recall(self, member: str) -> Head:
        return NO_HEAD

    def remember(self, member: str, head: Head) -> None:
        return


class _Ticket:
    """One call of `append`: what it wants written, and what came of it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.key: str | None = None
        self.error: HoldfastError | None = None

    @property
    def done(self) -> bool:
        return self.key is not None or self.error is not None

    def result(self) -> str:
        if self.error is not None:
            raise self.error
        assert self.key is not None
        return self.key


class Spool:
    """The series of one member on one store. Several machines may share a member's key: they take turns.

    May be shared by threads: what they record while an object is being written goes into the next one, together. Each
    call returns when its own entry is durable.
    """

    def __init__(
        self,
        store: Store,
        log: str,
        signer: SigningKey,
        *,
        memory: Memory | None = None,
        sequenced: Callable[[], Head] = lambda: NO_HEAD,
        holds: Callable[[Head], bool] = lambda head: True,
    ) -> None:
        """`sequenced`: this member's last entry in the log itself; asked only where the store has no other trace.

        `holds`: whether the log has that entry of this member; asked only where what was just written is gone, and
        what follows does not build on it.
        """
        self._store = store
        self._log = log
        self._signer = signer
        self.member = fingerprint(signer.public)
        self._memory = memory or _Forgetful()
        self._sequenced = sequenced
        self._holds = holds
        self._head: Head | None = None
        self._last = ""  # the object that the head is in, if that is known
        self._guessed = False  # what a machine remembers is a number: the object may have another name
        self._queue: list[_Ticket] = []
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._ended = threading.Condition(self._lock)
        self._busy = False  # one thread writes, for all
        self._lately = 1  # entries in the last object: how many threads there are to wait for

    def append(self, entry: Entry) -> str:
        """Write the next one; returns the key of its object. A create and a look at the object before, as a rule.

        Raises UsageError, ConflictError (others took every number that was tried), and what the store raises; where
        somebody else's record was written together with this one, both get the error.
        """
        check_entry(entry)
        ticket = _Ticket(entry)
        with self._lock:
            self._queue.append(ticket)
            self._came.notify()
        while not self._is_done(ticket):
            self._write_for_all()
        return ticket.result()

    def _is_done(self, ticket: _Ticket) -> bool:
        """Waits while another thread writes; if False, this one is to write now."""
        with self._lock:
            while self._busy and not ticket.done:
                self._ended.wait()
            self._busy = self._busy or not ticket.done
            return ticket.done

    def _write_for_all(self) -> None:
        tickets: list[_Ticket] = []
        try:
            with self._lock:
                if self._lately > 1:
                    self._came.wait_for(lambda: len(self._queue) >= self._lately, _WAIT_SECONDS)
                tickets = _first_of(self._queue)
                del self._queue[: len(tickets)]
            self._write_all(tickets)
        finally:
            with self._lock:
                self._busy, self._lately = False, len(tickets)
                self._ended.notify_all()

    def _write_all(self, tickets: Sequence[_Ticket]) -> None:
        try:
            key = self._write([one.entry for one in tickets])
            for one in tickets:
                one.key = key
        except HoldfastError as error:
            for one in tickets:
                one.error = error
        finally:  # whatever ended this thread: the others hear of it
            if any(one.key is None for one in tickets):
                self._head = None  # what was tried may be there or not
            for one in tickets:
                if not one.done:
                    one.error = FailedError("what records was interrupted; whether it was recorded is not known")

    def _write(self, entries: Sequence[Entry]) -> str:
        head = self._head or self._find_head()
        number = head.number + 1
        for _ in range(_ATTEMPTS):
            key = pending_key(self.member, number)
            data, mine = self._sign(number, head.hash, entries)
            if create_same(self._store, key, data):
                sure = number == head.number + 1 and self._is_last(head)
                later = None if sure else self._overtaken(mine, key)
                if later is None:
                    self._note(mine, key)
                    return key
                head, number = later, later.number + 1
                continue
            found = self._find_after(key)
            if found is not None:  # another machine with this key was faster
                head, number = found, found.number + 1
            else:
                number += 1  # somebody without it only sits on the number: the chain goes on above
        raise ConflictError(f"{_ATTEMPTS} numbers of {pending_prefix(self.member)} were taken", hint="try again")

    def _sign(self, number: int, previous: str, entries: Sequence[Entry]) -> tuple[bytes, Head]:
        if len(entries) > 1:
            return sign_group(self._signer, self._log, number, previous, entries)
        data = sign_entry(self._signer, self._log, number, previous, entries[0])
        return data, Head(number, sha256(data).hexdigest())

    def _is_last(self, head: Head) -> bool:
        """Whether the object of that head is still there: then nobody has written more, and had it taken away."""
        if not self._guessed:
            return bool(self._last) and self._is_there(self._last)
        own = self._own(self._last)
        return own is not None and own.head == head

    def _is_there(self, key: str) -> bool:
        try:
            self._store.head(key)
        except ObjectNotFoundError:
            return False
        return True

    def _overtaken(self, mine: Head, key: str) -> Head | None:
        """The member's last entry, where another machine wrote it without knowing of this one.

        Who wrote under a number that was taken away sees a higher one now, as a member's last one never is; and what
        he wrote there will not be looked at.
        """
        listed = self._store.list(pending_prefix(self.member), key)
        keys = [info.key for info in listed if info.size <= SPOOLED_BYTES_MAX]
        found = [own for one in keys[-_ATTEMPTS:] if (own := self._own(one)) is not None]
        if not found or found[0].previous == mine.hash:
            return None
        if not self._is_there(key) and self._holds(mine):
            return None  # it is in the log already, and so are those that followed on it
        self._found(found[-1])
        return found[-1].head

    def _found(self, own: _Own) -> None:
        self._last, self._guessed = pending_key(self.member, own.number), False

    def _note(self, head: Head, key: str) -> None:
        self._head, self._last, self._guessed = head, key, False
        self._memory.remember(self.member, head)

    def _find_head(self) -> Head:
        """The last entry that is this member's, wherever a trace of it is left."""
        known = self._memory.recall(self.member)
        if known.number:
            self._last, self._guessed = pending_key(self.member, known.number), True
            return known
        return self._find_after("") or self._sequenced()

    def _find_after(self, key: str) -> Head | None:
        """The last entry that is this member's, in the object of that key or one after it."""
        after = pending_key(self.member, generation_in(key, pending_prefix(self.member)) - 1) if key else ""
        listed = self._store.list(pending_prefix(self.member), after)
        keys = [info.key for info in listed if info.size <= SPOOLED_BYTES_MAX]
        for one in reversed(keys[-_ATTEMPTS:]):
            found = self._own(one)
            if found is not None:
                self._found(found)
                return found.head
        return None

    def _own(self, key: str) -> _Own | None:
        """What this object says of the chain, if it is truly this member's."""
        number = generation_in(key, pending_prefix(self.member))
        try:
            data = self._store.get(key)
            found = decode_spooled(data, self._log, self.member, number, self._itself(data, key), key)
        except (ObjectNotFoundError, DamageError, UntrustedError, AlreadyExistsError):
            return None
        return _Own(number, found.previous, found.head)

    def _itself(self, data: bytes, key: str) -> Mapping[str, Member]:
        """This member, whatever label and role it had when it wrote that."""
        signed = decode_group(data, key).entries[0] if is_group(data) else decode_leaf(data, key).entry
        return {self.member: Member(signed.actor.label, signed.actor.role, self._signer.public)}


class _Own(NamedTuple):
    """An object of the member: its number, the hash before it, the head after it."""

    number: int
    previous: str
    head: Head


def _first_of(queue: Sequence[_Ticket]) -> list[_Ticket]:
    """As many as fit into one object, at least one. A group holds entries of one actor, as its member is one."""
    found: list[_Ticket] = []
    size = 0
    for one in queue[:GROUP_ENTRIES_MAX]:
        size += len(encode(one.entry))
        if found and size > _GROUP_ENTRIES_BYTES:
            break
        found.append(one)
    return found
