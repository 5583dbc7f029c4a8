"""Taking what members wrote into the log: in the order of each member's chain, each entry once.

Objects that are in the log are taken away, in the order of their numbers, but each member's last one: what a writer
concludes from an object that is still there depends on that (`spool`).

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
from holdfast.audit.groups import NO_HEAD, Head
from holdfast.audit.layout import PENDING, generation_in, pending_key, pending_prefix
from holdfast.audit.members import SPOOLED_BYTES_MAX, Member, Spooled, decode_spooled
from holdfast.audit.writing import Appended, LogWriter
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError, UntrustedError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import ObjectInfo, Store

__all__ = ["GAP_GRACE_SECONDS", "Sequenced", "sequence_pending"]

GAP_GRACE_SECONDS = 300.0  # longer than any listing of a store that we know lags
_BATCH_ENTRIES_MAX = 4096
_AT_ONCE = 256
_OLDER_MAX = _BATCH_ENTRIES_MAX + 256  # what one sequencer can have left behind, and some
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
    """Everything that members had written by now and that is not in the log yet.

    Raises what `LogWriter.append` raises.
    """
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
        taking.remove_taken(progress)
        if not taking.full:  # it took all that was there; who waits for nothing more to come may wait for ever
            break
    return Sequenced(appended, taking.refused, gaps, taking.waiting)


class _Fetched(NamedTuple):
    """An object of a spool: what it holds, or why it is not taken."""

    info: ObjectInfo
    spooled: Spooled | None
    error: HoldfastError | None = None


class _Taking:
    """One batch. `gap_before_ns`: an object that the store wrote before this does not wait for its predecessor."""

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
        self.full = False  # there may be more
        self.heads: dict[str, Head] = {}
        self._before: dict[str, Head] = {}  # what was in the log
        self._taken: dict[str, list[str]] = {}  # member → objects, in their order
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
        self._before[member] = head
        after = pending_key(member, head.number) if head.number else ""
        listed = self._store.list(pending_prefix(member), after)
        while some := list(islice(listed, _AT_ONCE)):
            for one in pool.map(partial(self._fetch, member), some):
                if len(self._entries) >= _BATCH_ENTRIES_MAX or self._bytes > BATCH_BYTES_MAX // 2:
                    self.full = True
                    return
                taken = self._take(one, member, head)
                if taken is None:
                    return
                head = taken

    def _fetch(self, member: str, info: ObjectInfo) -> _Fetched:
        number = generation_in(info.key, pending_prefix(member))
        try:
            if info.size > SPOOLED_BYTES_MAX:
                raise DamageError(f"{info.key} is too large to be an entry", object_name=info.key)
            data = self._store.get(info.key)
            spooled = decode_spooled(data, self._log, member, number, self._members, info.key)
            _check_time(spooled, info)
            return _Fetched(info, spooled)
        except (ObjectNotFoundError, DamageError, UntrustedError) as error:
            return _Fetched(info, None, error)

    def _take(self, one: _Fetched, member: str, head: Head) -> Head | None:
        """The head after this object: the same one where it is refused; None when no more of the member's is taken."""
        info, spooled, error = one
        if isinstance(error, ObjectNotFoundError):
            return None  # gone since it was listed: the next run sees what is left
        if spooled is None:
            self.refused[info.key] = error.message if error is not None else ""
            return head
        if generation_in(info.key, pending_prefix(member)) <= head.number:
            self.refused[info.key] = f"{info.key} has numbers that its member gave to others"
            return head
        if spooled.previous != head.hash:
            if info.modified_ns > self._gap_before_ns:
                self.waiting += 1
                return None
            self.gaps[member] = self.gaps.get(member, 0) + 1
        self._taken.setdefault(member, []).append(info.key)
        self._entries += spooled.leaves
        self._bytes += sum(map(len, spooled.leaves))
        self.heads[member] = spooled.head
        return spooled.head

    def remove_taken(self, progress: Progress) -> None:
        """What is in the log goes. A store that refuses to delete keeps it, which hurts nothing."""
        try:
            for member, taken in self._taken.items():
                older = self._older(member, taken[0])
                for key in (*older, *taken[:-1]) if older is not None else ():
                    self._store.delete(key)
        except HoldfastError as error:
            progress.note(f"entries that are in the audit log also stay in {PENDING}: {error.message}")

    def _older(self, member: str, first: str) -> list[str] | None:
        """Objects below `first` that are in the log: the member's last one of before, and what a sequencer that died
        left. Each is found by its hash in the one that follows on it; others are left alone, as whoever wrote them may
        be about to see that they do not count. None where there are too many: on such a store, nothing is taken away.
        """
        wanted, found = self._before[member], []
        older = list(islice(self._store.list(pending_prefix(member)), _OLDER_MAX + 1))
        if len(older) > _OLDER_MAX and older[-1].key < first:
            return None
        older = [info for info in older if info.key < first]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="holdfast-audit") as pool:
            for info, spooled, _ in pool.map(partial(self._fetch, member), reversed(older)):
                if spooled is not None and spooled.head.hash == wanted.hash:
                    found.append(info.key)
                    wanted = Head(0, spooled.previous)
        return found[::-1]


def _check_time(spooled: Spooled, info: ObjectInfo) -> None:
    revoked_ns = spooled.member.revoked_ns
    # A member may write any time into its entry; the store's time tells when it really came.
    if revoked_ns is not None and max(spooled.at_ns, info.modified_ns) >= revoked_ns:
        raise UntrustedError(f"{info.key} was written after its member was revoked", object_name=info.key)
