"""A run's journal: read, checked, continued; and the fence between control planes that both believe to have the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import ConflictError, DamageError, NotFoundError, RefusedError
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, Seal, chained, decode_entry, encode_entry
from holdfast.recovery.journal.slots import Slots
from holdfast.recovery.journal.state import RunState, run_state
from holdfast.stores.protocol import Store

__all__ = ["RUNS", "Journal", "new_plane"]

RUNS: Final = "runs/"
_ENTRIES_MAX: Final = 100_000
_RACES_MAX: Final = 100


def new_plane() -> str:
    """A name for a control plane that starts: never used again, so that nobody takes another's entries for its own."""
    return f"plane:{os.urandom(8).hex()}"


class Journal:
    """The journal of one run, as one control plane or one person (`by`) sees it and writes it.

    Nothing counts before `append` has returned: then a majority of the stores has it. Not to be used by two threads.
    """

    def __init__(self, run: str, stores: Sequence[Store], seal: Seal, by: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.run = run
        self.by = by
        self._slots = Slots(stores, f"{RUNS}{run}/")
        self._seal = seal
        self._clock = clock
        self._entries: list[Entry] = []
        self._before = FIRST
        self._pending: tuple[Entry, bytes] | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """Those that were read or written so far."""
        return tuple(self._entries)

    @property
    def state(self) -> RunState:
        """What they add up to."""
        return run_state(self._entries)

    def read(self) -> RunState:
        """Read on to the end. Raises NotFoundError (no such run), DamageError, UntrustedError, and as `Slots.fill`."""
        while (stored := self._slots.look(len(self._entries))) is not None:
            self._take(stored)
        if not self._entries:
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
    ) -> Entry:
        """Write an entry at the end. It is durable, and counts, when this returns.

        Raises RefusedError when it would not count: another control plane has the run, or it has ended. Where stores do
        not answer it raises as `Slots.fill`, and the entry may or may not be written: the same call again decides it.
        """
        for _ in range(_RACES_MAX):
            number = len(self._entries)
            entry = Entry(
                run=self.run,
                number=number,
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
            entry, stored = self._sealed(entry)
            filled = self._slots.fill(number, stored)
            self._take(filled)
            if filled == stored:
                self._pending = None
                return entry
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

    def _take(self, stored: bytes) -> None:
        number = len(self._entries)
        name = self._name(number)
        entry = decode_entry(name, self._seal.open(name, stored))
        if entry.run != self.run or entry.number != number or entry.before != self._before:
            raise DamageError(
                f"{name} does not continue the journal before it",
                hint="somebody with a member's key altered it: compare the sites, and look at the audit log",
                object_name=name,
            )
        if number >= _ENTRIES_MAX:
            raise DamageError(f"the journal of {self.run} has more than {_ENTRIES_MAX} entries", object_name=name)
        self._entries.append(entry)
        self._before = chained(stored)

    def _require_counting(self, entry: Entry) -> None:
        before = self.state
        if entry.number not in run_state([*self._entries, entry]).ignored:
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
