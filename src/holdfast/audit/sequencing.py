"""Taking what members wrote into the log: in the order of each member's chain, each entry once.

An entry whose predecessor is missing waits for a while (listings may lag), and then goes in all the same: the gap
shows, in the log, for ever. What is not signed by a member in its own name never goes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

from holdfast.audit.batches import BATCH_BYTES_MAX
from holdfast.audit.entries import decode_leaf
from holdfast.audit.layout import PENDING, generation_in, pending_key, pending_prefix
from holdfast.audit.spool import NO_HEAD, Head, Member, check_signed, head_of
from holdfast.audit.tiles import ENTRY_BYTES_MAX
from holdfast.audit.writing import Appended, LogWriter
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError, UntrustedError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import ObjectInfo, Store

__all__ = ["GAP_GRACE_SECONDS", "Sequenced", "sequence_pending"]

GAP_GRACE_SECONDS = 300.0  # longer than any listing of a store that we know lags
_BATCH_ENTRIES_MAX = 4096
_AT_ONCE = 256
_WORKERS = 8  # a store answers several requests at once, and signatures are verified without the interpreter's lock


class Sequenced(NamedTuple):
    """`appended`: batch by batch. `refused`: object → why it is not taken. `gaps`: members whose chain has a hole.
    `waiting`: entries whose predecessor is not to be seen yet.
    """

    appended: list[Appended]
    refused: dict[str, str]
    gaps: dict[str, int]
    waiting: int

    @property
    def entries(self) -> int:
        """How many went into the log."""
        return sum(one.entries for one in self.appended)


def sequence_pending(
    store: Store,
    writer: LogWriter,
    members: Mapping[str, Member],
    *,
    clock: Clock = SYSTEM_CLOCK,
    grace_seconds: float = GAP_GRACE_SECONDS,
    progress: Progress = SILENT,
) -> Sequenced:
    """Everything that members have written and that is not in the log yet. Raises what `LogWriter.append` raises."""
    writer.refresh()
    appended: list[Appended] = []
    gaps: dict[str, int] = {}
    while True:
        taking = _Taking(store, writer.reader.origin, members, clock.now_ns() - round(grace_seconds * NANOSECONDS))
        done = writer.append(taking.choose)
        if done is None:
            break
        appended.append(done)
        gaps.update({member: gaps.get(member, 0) + holes for member, holes in taking.gaps.items()})
        _remove_taken(store, taking, progress)
    return Sequenced(appended, taking.refused, gaps, taking.waiting)


class _Fetched(NamedTuple):
    info: ObjectInfo
    number: int
    data: bytes
    previous: str
    error: HoldfastError | None = None


class _Taking:
    """One batch. `gap_before_ns`: an entry that the store wrote before this does not wait for its predecessor."""

    def __init__(self, store: Store, log: str, members: Mapping[str, Member], gap_before_ns: int) -> None:
        self._store = store
        self._log = log
        self._members = members
        self._gap_before_ns = gap_before_ns
        self._clear()

    def _clear(self) -> None:
        self.refused: dict[str, str] = {}
        self.gaps: dict[str, int] = {}
        self.waiting = 0
        self.heads: dict[str, Head] = {}
        self.done_with: list[str] = []  # objects that are in the log, and are no member's last one
        self._entries: list[bytes] = []
        self._bytes = 0

    def choose(self, heads: Mapping[str, Head]) -> tuple[Sequence[bytes], Mapping[str, Head]]:
        """What goes into the log next, given what of each member is there already."""
        self._clear()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="holdfast-audit") as pool:
            for folder in self._store.folders(PENDING):
                member = folder[len(PENDING) :].rstrip("/")
                self._take_from(member, heads.get(member, NO_HEAD), pool)
        return self._entries, self.heads

    def _take_from(self, member: str, head: Head, pool: Executor) -> None:
        """Some at once are fetched and their signatures verified; then they are looked at in their order."""
        after = pending_key(member, head.number) if head.number else ""
        listed = self._store.list(pending_prefix(member), after)
        while some := list(islice(listed, _AT_ONCE)):
            for one in pool.map(partial(self._fetch, member), some):
                if len(self._entries) >= _BATCH_ENTRIES_MAX or self._bytes > BATCH_BYTES_MAX // 2:
                    return
                taken = self._take(one, member, head)
                if taken is None:
                    return
                head = taken

    def _fetch(self, member: str, info: ObjectInfo) -> _Fetched:
        number = generation_in(info.key, pending_prefix(member))
        try:
            if info.size > ENTRY_BYTES_MAX:
                raise DamageError(f"{info.key} is too large to be an entry", object_name=info.key)
            data = self._store.get(info.key)
            return _Fetched(info, number, data, self._check(info, member, number, data))
        except (ObjectNotFoundError, DamageError, UntrustedError) as error:
            return _Fetched(info, number, b"", "", error)

    def _take(self, one: _Fetched, member: str, head: Head) -> Head | None:
        """The head after this object: the same one where it is refused; None when no more of the member's is taken."""
        info, number, data, previous, error = one
        if isinstance(error, ObjectNotFoundError):
            return None  # gone since it was listed: the next run sees what is left
        if error is not None:
            self.refused[info.key] = error.message
            return head
        if previous != head.hash:
            if info.modified_ns > self._gap_before_ns:
                self.waiting += 1
                return None
            self.gaps[member] = self.gaps.get(member, 0) + 1
        if head.number:
            self.done_with.append(pending_key(member, head.number))
        self._entries.append(data)
        self._bytes += len(data)
        self.heads[member] = head_of(number, data)
        return self.heads[member]

    def _check(self, info: ObjectInfo, member: str, number: int, data: bytes) -> str:
        signed = decode_leaf(data, info.key).signed
        if signed is None or not number or (signed.member, signed.number) != (member, number):
            raise UntrustedError(f"{info.key} is not signed as what its name says", object_name=info.key)
        revoked_ns = check_signed(signed, self._log, self._members, info.key).revoked_ns
        # A member may write any time into its entry; the store's time tells when it really came.
        if revoked_ns is not None and max(signed.entry.at_ns, info.modified_ns) >= revoked_ns:
            raise UntrustedError(f"{info.key} was written after its member was revoked", object_name=info.key)
        return signed.previous


def _remove_taken(store: Store, taking: _Taking, progress: Progress) -> None:
    """The last one of each member stays: from it the member's machines know where their chain is."""
    try:
        for key in taking.done_with:  # in this order: `Spool` concludes from a number that is gone that those below are
            store.delete(key)
    except HoldfastError as error:
        progress.note(f"entries that are in the audit log also stay in {PENDING}: {error.message}")
