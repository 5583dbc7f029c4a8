"""A run's journal: read, checked, continued; and the fence between control planes that both believe to have the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock, to_rfc3339
from holdfast.errors import (
    ConflictError,
    DamageError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    StoreUnreachableError,
    UntrustedError,
)
from holdfast.recovery.journal.deciding import NOTHING
from holdfast.recovery.journal.entries import (
    FIRST,
    Deed,
    Entry,
    Seal,
    VoidError,
    chained,
    decode_entry,
    encode_entry,
)
from holdfast.recovery.journal.leaving import approval_of
from holdfast.recovery.journal.slots import Slots
from holdfast.recovery.journal.state import RunState, run_state
from holdfast.stores.protocol import Store

__all__ = ["BYTES_MAX", "RUNS", "Journal", "Stored", "new_plane"]

RUNS: Final = "runs/"
_ENTRIES_MAX: Final = 100_000
_RACES_MAX: Final = 100
BYTES_MAX: Final = 1 << 18  # of an object: what a seal makes of an entry is a quarter of it at most
_VOIDS_IN_A_ROW: Final = 4  # then more of them are expected


def new_plane() -> str:
    """A name for a control plane that starts: never used again, so that nobody takes another's entries for its own."""
    return f"plane:{os.urandom(8).hex()}"


class Stored(NamedTuple):
    """An object of the journal as the stores have it. `entry`: None: a place that was filled with what is nothing;
    there is no `data` then, and the chain goes past it.
    """

    number: int
    data: bytes
    entry: Entry | None


class Journal:
    """The journal of one run, as one control plane or one person (`by`) sees it and writes it.

    Nothing counts before `append` has returned: then a majority of the stores has it. Not to be used by two threads.
    """

    def __init__(
        self,
        run: str,
        stores: Sequence[Store],
        seal: Seal,
        by: str,
        clock: Clock = SYSTEM_CLOCK,
        names: Sequence[str] = (),
    ) -> None:
        """`names`: what the stores are called in entries; without them none can be left out."""
        self.run = run
        self.by = by
        self._slots = Slots(stores, f"{RUNS}{run}/", BYTES_MAX)
        self._names = list(names)
        self._seal = seal
        self._clock = clock
        self._stored: list[Stored] = []
        self._before = FIRST
        self._pending: tuple[Entry, bytes] | None = None
        self._opened_last: tuple[int, bytes, bytes | HoldfastError] | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """Those that were read or written so far."""
        return tuple(one.entry for one in self._stored if one.entry is not None)

    @property
    def stored(self) -> Sequence[Stored]:
        """The objects that were read or written so far, by number: the chain goes through those with an entry."""
        return tuple(self._stored)

    @property
    def state(self) -> RunState:
        """What they add up to."""
        return run_state(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The stores that have a say, as far as it was read."""
        return tuple(self._names)

    @property
    def head(self) -> tuple[int, str]:
        """The next place, and the hash of the entry before it, as it is stored."""
        return len(self._stored), self._before

    def spoken_by(self, by: str) -> Journal:
        """The same journal, as far as it was read, for another author."""
        other = Journal.__new__(Journal)
        other.__dict__ = dict(self.__dict__)
        other.by, other._stored, other._names, other._pending = by, list(self._stored), list(self._names), None
        return other

    def left_with(self, name: str) -> Journal:
        """As it is at the other stores alone, not read yet: for who is about to say that this one is gone for good."""
        number = self._names.index(name)
        other = self.spoken_by(self.by)
        other._slots, other._names = (
            self._slots.without(number, whole=len(self._names) < 3),
            [one for one in self._names if one != name],
        )
        other._stored, other._before = [], FIRST
        return other

    def read(self) -> RunState:
        """Read on to the end. Raises NotFoundError (no such run), DamageError, UntrustedError, and as `Slots.fill`."""
        while (stored := self._look()) is not None:
            self._take(stored)
        if not self.entries:
            raise NotFoundError(f"there is no run {self.run!r} at these stores", object_name=f"{RUNS}{self.run}")
        return self.state

    def append(
        self,
        deed: Deed,
        *,
        step: str = "",
        attempt: int = 0,
        text: str = "",
        until: int = 0,
        plan: str = "",
        facts: dict[str, str | int | float | bool] | None = None,
        owner: str | None = None,
        before_ns: int = 0,
    ) -> Entry:
        """Write an entry at the end. It is durable, and counts, when this returns.

        `owner`: write it only while that control plane (empty: none) has the run. `before_ns`: only before that time.

        Raises RefusedError for these, and when it would not count: another control plane has the run, or it has ended.
        Where stores do
        not answer it raises as `Slots.fill`, and the entry may or may not be written: the same call again decides it.
        """
        races = 0
        while races < _RACES_MAX:
            entry = Entry(
                run=self.run,
                number=len(self._stored),
                before=self._before,
                deed=deed,
                by=self.by,
                at=self._clock.now_ns(),
                step=step,
                attempt=attempt,
                text=text,
                until=until,
                plan=plan,
                facts=facts or {},
            )
            self._require_counting(entry)
            self._require_so(owner, before_ns, entry.at)
            entry, stored = self._sealed(entry)
            filled = self._fill(stored)
            self._take(filled)
            if filled == stored:
                self._pending = None
                return entry
            races += filled != NOTHING
            while filled == NOTHING and (following := self._look()) is not None:
                self._take(following)  # somebody has filled places with nothing: the first free one is behind them
        raise ConflictError(f"others wrote to the journal of {self.run} {_RACES_MAX} times in a row")

    def _sealed(self, entry: Entry) -> tuple[Entry, bytes]:
        """Sealing the same twice gives other bytes: what may have been written before is what is written again."""
        pending = self._pending
        same = ("number", "deed", "step", "attempt", "text", "until", "plan", "facts", "before")
        if pending is not None and all(getattr(pending[0], name) == getattr(entry, name) for name in same):
            return pending
        stored = self._seal.seal(self._name(entry.number), encode_entry(entry))
        self._pending = (entry, stored)
        return entry, stored

    def _name(self, number: int) -> str:
        return f"{RUNS}{self.run}/{number:010d}"

    def _look(self) -> bytes | None:
        try:
            return self._slots.look(len(self._stored), self._decides, self._is_void)
        except StoreUnreachableError:
            if not self._follow_the_one_left():
                raise
            return self._slots.look(len(self._stored), self._decides, self._is_void)

    def _fill(self, stored: bytes) -> bytes:
        try:
            return self._slots.fill(len(self._stored), stored, self._decides, self._is_void)
        except StoreUnreachableError:
            if not self._follow_the_one_left():
                raise
            return self._slots.fill(len(self._stored), stored, self._decides, self._is_void)

    def _is_void(self, data: bytes) -> bool:
        """Whether these bytes are nothing at the next place, as every reader judges."""
        return data == NOTHING or isinstance(self._open(len(self._stored), data), VoidError)

    def _open(self, number: int, data: bytes) -> bytes | HoldfastError:
        """The body of what is stored at a place, or why it has none, which hangs on the bytes alone. The last one is
        kept: stores have the same. Raises what else keeps it from being judged (StoreUnreachableError).
        """
        last = self._opened_last
        if last is None or (last[0], last[1]) != (number, data):
            try:
                found: bytes | HoldfastError = self._seal.open(self._name(number), data)
            except (DamageError, UntrustedError) as error:
                found = error
            last = self._opened_last = (number, data, found)
        return last[2]

    def _decides(self, store: int, data: bytes) -> bool:
        """Whether what this one of two stores has at the next place leaves out the other. Raises DamageError where the
        other one has the opposite.
        """
        if len(self._slots) != 2 or not self._leaves_out(data, 1 - store):
            return False
        with_other = self._at(1 - store, len(self._stored))
        if with_other is not None and self._leaves_out(with_other, store):
            raise DamageError(
                f"of the two stores of the journal of {self.run} each is said, at the other, to be gone for good",
                hint="two control planes went on without each other: look at what both did, and recover anew",
                object_name=f"{RUNS}{self.run}",
            )
        return True

    def _leaves_out(self, data: bytes, other: int) -> bool:
        entry = self._opened(data, len(self._stored), self._before)
        approval = None if entry is None else approval_of(entry, self._names, self._seal)
        return approval is not None and approval.store == self._names[other]

    def _follow_the_one_left(self) -> bool:
        """Too few answer. If what one of them has leads, entry by entry, to all others being left out, that one
        decides all places: it has whatever was filled. Whether there is one.
        """
        for store, name in enumerate(self._names):
            left, before, number = list(self._names), self._before, len(self._stored)
            while left != [name] and number < _ENTRIES_MAX and (data := self._at(store, number)) is not None:
                entry = self._opened(data, number, before)
                approval = None if entry is None else approval_of(entry, left, self._seal)
                if approval is not None:
                    left.remove(approval.store)
                void = entry is None and isinstance(self._open(number, data), VoidError)
                number, before = number + 1, before if void else chained(data)
            if left == [name] and len(self._names) > 1:
                while len(self._slots) > 1:
                    self._leave_out(next(number for number, one in enumerate(self._names) if one != name))
                return True
        return False

    def _at(self, store: int, number: int) -> bytes | None:
        try:
            return self._slots.at(store, number)
        except HoldfastError:
            return None

    def _opened(self, data: bytes, number: int, before: str) -> Entry | None:
        """The entry that these bytes are at this place; None for anything else."""
        name = self._name(number)
        try:
            entry = decode_entry(name, self._seal.open(name, data))
        except HoldfastError:
            return None
        return entry if (entry.run, entry.number, entry.before) == (self.run, number, before) else None

    def _leave_out(self, store: int) -> None:
        self._slots = self._slots.without(store)
        self._names = [name for number, name in enumerate(self._names) if number != store]

    def _take(self, stored: bytes) -> None:
        number = len(self._stored)
        name = self._name(number)
        if number >= _ENTRIES_MAX:
            raise DamageError(f"the journal of {self.run} has more than {_ENTRIES_MAX} entries", object_name=name)
        entry = None
        if stored == NOTHING:
            stored = b""  # nobody can ever make anything of it, so all readers go past it alike
        else:
            body = self._open(number, stored)
            if isinstance(body, HoldfastError):
                raise body
            entry = decode_entry(name, body)
        if entry is not None and (entry.run != self.run or entry.number != number or entry.before != self._before):
            raise DamageError(
                f"{name} does not continue the journal before it",
                hint="somebody with a member's key altered it: compare the sites, and look at the audit log",
                object_name=name,
            )
        if entry is not None:
            approval = approval_of(entry, self._names, self._seal)
            if approval is not None:
                self._leave_out(self._names.index(approval.store))
            if entry.deed is Deed.WITHOUT:
                self._slots.whole = True
        self._stored.append(Stored(number, stored, entry))
        if entry is not None:
            self._before = chained(stored)
        in_a_row = [one.entry is None for one in self._stored[-_VOIDS_IN_A_ROW:]]
        if entry is None and in_a_row.count(True) == _VOIDS_IN_A_ROW and not self._slots.has_read(number + 1):
            self._slots.read_ahead(number + 1)

    def _require_so(self, owner: str | None, before_ns: int, now_ns: int) -> None:
        if owner is not None and self.state.owner != owner:
            raise RefusedError(
                f"{self.state.owner} has taken the run {self.run} at the same moment",
                hint=f"`holdfast recover status {self.run}` shows how far it is",
            )
        if before_ns and now_ns >= before_ns:
            raise RefusedError(
                f"an approval of the run {self.run} ended at {to_rfc3339(before_ns)}, before this was written",
                hint="have it approved again",
            )

    def _require_counting(self, entry: Entry) -> None:
        before = self.state
        if entry.number not in run_state([*self.entries, entry]).ignored:
            return
        if before.verdict:
            raise RefusedError(f"the run {self.run} has ended: {before.verdict}")
        if not before.plan:
            raise RefusedError(f"the run {self.run} has no plan yet")
        if entry.deed is Deed.PLANNED:
            raise RefusedError(f"the run {self.run} has a plan")
        owner = before.owner or "nobody"
        raise RefusedError(
            f"{owner} has the run {self.run}, and this is {self.by}: it may change nothing any more",
            hint="holdfast recover adopt takes it over",
        )
