"""The sites of a set of stripes: which of them answer, what is done at all of them at once, and what is said of one
that does not.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import (
    AlreadyExistsError,
    CredentialError,
    DamageError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    RefusedError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.events import SILENT, Progress
from holdfast.replication.striping.layout import Layout, counting, read_layouts
from holdfast.stores.protocol import Store

__all__ = ["Member", "Outcome", "Sites"]

_Result = TypeVar("_Result")
_Value_co = TypeVar("_Value_co", covariant=True)

_RETRY_SECONDS = 30.0  # so long a site that did not answer is left alone; with 0, it is asked each time
_RENEW_SECONDS = 60.0  # after so long, a writer asks again who is home
_ANSWERS = (ObjectNotFoundError, AlreadyExistsError, DamageError, UsageError)  # of a site that works
_ABSENCES = (StoreUnreachableError, CredentialError, NotFoundError)  # nothing else is to be had there, either


@dataclass
class Member:
    """One site. `trouble` says why it is not used, "" when it is."""

    position: int
    store: Store
    trouble: str = ""
    vacant: bool = False  # it answers, and holds nothing of the set
    misplaced: bool = False  # it says that it is another one of the sites
    ask_at: float = 0.0

    @property
    def name(self) -> str:
        return f"site {self.position} ({self.store.url})"


@dataclass(frozen=True)
class Outcome(Generic[_Value_co]):
    """What came of one site: a value, or an error. `failed`: the site did not do it; other errors are answers."""

    member: Member
    value: _Value_co | None = None
    error: HoldfastError | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None and not isinstance(self.error, _ANSWERS)

    @property
    def ok(self) -> bool:
        return self.error is None


class Sites:
    """The n sites in order. Safe for several threads."""

    def __init__(
        self,
        stores: Sequence[Store],
        *,
        clock: Clock = SYSTEM_CLOCK,
        progress: Progress = SILENT,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self.members = [Member(position, store) for position, store in enumerate(stores)]
        self.clock = clock
        self.progress = progress
        self._retry_seconds = retry_seconds
        self._layout: Layout | None = None
        self._renew_at = 0.0
        self._lock = threading.RLock()
        self._troubles = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        return "stripes:" + ",".join(member.store.url for member in self.members)

    @property
    def layout(self) -> Layout:
        """How the set is laid out. Raises StoreUnreachableError when too few sites say, NotFoundError when none is a
        set of stripes, RefusedError when the sites are in another order.
        """
        if self._layout is None:
            with self._lock:
                if self._layout is None:
                    self._look(self.members)
        assert self._layout is not None
        return self._layout

    @property
    def home(self) -> Member:
        return self.members[self.layout.home]

    def renewed(self) -> Layout:
        """The layout, for who is about to write: not older than a minute. One caller looks, the others go on."""
        layout = self.layout
        if self.clock.monotonic() >= self._renew_at and self._lock.acquire(blocking=False):
            try:
                self._look([member for member in self.members if not member.trouble])
            finally:
                self._lock.release()
            layout = self.layout
        return layout

    def order(self) -> list[Member]:
        """All members, the home first."""
        home = self.home
        return [home, *(member for member in self.members if member is not home)]

    def ready(self) -> list[Member]:
        """Those that are used now, the home first. Who was left alone long enough is asked again, beside the work."""
        layout = self.layout
        now = self.clock.monotonic()
        with self._troubles:
            due = [member for member in self.members if member.trouble and now >= member.ask_at]
            for member in due:
                member.ask_at = math.inf  # until it answered
        for member in due:
            if self._retry_seconds > 0:
                self._threads().submit(self._ask_again, member, layout)
            else:
                self._ask_again(member, layout)
        return [member for member in self.order() if not member.trouble]

    def absent(self) -> list[Member]:
        """Those that are not used now."""
        return [member for member in self.members if member.trouble]

    def writing_home(self) -> Member:
        """The home, which everything that is written needs. Raises StoreUnreachableError."""
        self.renewed()
        self.ready()
        home = self.home
        if home.trouble or home.vacant:
            raise StoreUnreachableError(
                f"nothing can be written: the home, {home.name}, {home.trouble or 'holds nothing of the set'}",
                hint="wait for it, rebuild it, or, when it is lost, adopt another site as the home",
            )
        return home

    def each(self, members: Iterable[Member], action: Callable[[Member], _Result]) -> list[Outcome[_Result]]:
        """`action` at all these sites at once; the outcomes in their order."""
        chosen = list(members)
        if len(chosen) == 1:
            return [self.attempt(chosen[0], action)]
        pool = self._threads()
        futures = [pool.submit(self.attempt, member, action) for member in chosen]
        return [future.result() for future in futures]

    def _threads(self) -> ThreadPoolExecutor:
        with self._troubles:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(4 * len(self.members), thread_name_prefix="stripes")
            return self._pool

    def attempt(self, member: Member, action: Callable[[Member], _Result]) -> Outcome[_Result]:
        """`action` at one site, which is left alone for a while when it does not answer."""
        try:
            return Outcome(member, action(member))
        except HoldfastError as error:
            self.note_failure(member, error)
            return Outcome(member, error=error)

    def note_failure(self, member: Member, error: HoldfastError) -> None:
        """Remember that a site does not answer."""
        if isinstance(error, _ANSWERS) or not isinstance(error, _ABSENCES):
            return
        with self._troubles:
            was = member.trouble
            member.trouble = f"does not answer ({error.message})"
            member.ask_at = self.clock.monotonic() + self._retry_seconds
        if not was:
            self.progress.note(f"{member.name} {member.trouble}; going on without it")

    def told(self, members: Iterable[Member]) -> str:
        """These sites in a sentence, with what is wrong with them."""
        return "; ".join(f"{member.name} {member.trouble or 'lacks it'}" for member in members)

    def forget(self) -> None:
        """Ask all sites anew when they are needed next."""
        with self._lock:
            self._layout = None

    def _look(self, asking: Sequence[Member]) -> None:
        said = {}
        for member in asking:
            member.trouble, member.misplaced = "", False
        # A pool of its own: whoever holds this lock must not wait for those that wait for it.
        with ThreadPoolExecutor(len(self.members)) as pool:
            asked = [pool.submit(self.attempt, member, lambda one: read_layouts(one.store)) for member in asking]
        for outcome in (future.result() for future in asked):
            if outcome.value is not None:
                said[outcome.member.position] = outcome.value
        layout = counting(said)
        if layout is None:
            raise self._no_layout(said)
        if layout.n != len(self.members):
            raise RefusedError(
                f"{self.url}: {len(self.members)} sites were named, and the set of stripes has {layout.n}",
                hint="name all of them, in their order; of one that is lost, where it was",
            )
        for member in asking:
            if not member.trouble:
                self._place(member, said[member.position], layout)
        misplaced = [member for member in self.members if member.misplaced]
        if len(misplaced) > layout.n - layout.k:  # one or two may lie; so many were named in the wrong order
            raise RefusedError(
                f"the sites are not named in their order: {self.told(misplaced)}",
                hint="the order is that in which the set was created",
            )
        self._layout = layout
        self._renew_at = self.clock.monotonic() + _RENEW_SECONDS

    def _no_layout(self, said: dict[int, dict[int, Layout]]) -> HoldfastError:
        absent = self.absent()
        if absent and (any(said.values()) or len(absent) == len(self.members)):
            return StoreUnreachableError(
                f"too few sites of the stripes answer: {self.told(absent)}",
                hint="each pack needs the shards of several sites; wait for one of them",
            )
        if any(said.values()):
            without = [member.name for member in self.members if not said.get(member.position)]
            return DamageError(
                f"too few sites hold the layout of the stripes: {len(self.members) - len(without)} of "
                f"{len(self.members)}; there is none at {', '.join(without)}",
                hint="what those sites held is lost, unless they come back; a set that was just begun: create "
                "it again, that goes on",
            )
        return NotFoundError(
            f"{self.url}: there is no set of stripes", hint="create one, or check the addresses and their order"
        )

    def _ask_again(self, member: Member, layout: Layout) -> None:
        try:
            said = read_layouts(member.store)
        except HoldfastError as error:
            member.trouble = f"does not answer ({error.message})"
        else:
            member.trouble = ""
            self._place(member, said, layout)
            if any(record.generation > layout.generation for record in said.values()):
                self._renew_at = 0.0  # somebody may have adopted another home: whoever writes looks first
        finally:
            member.ask_at = self.clock.monotonic() + self._retry_seconds

    def _place(self, member: Member, said: dict[int, Layout], layout: Layout) -> None:
        """Whether the site is the one that belongs at this position."""
        member.vacant, member.misplaced = not said, False
        for record in said.values():
            if record.set != layout.set:
                member.trouble = "holds shards of another set"
            elif record.position != member.position:
                member.trouble = f"is site {record.position} of the set: name the sites in their order, counted from 0"
                member.misplaced = True
        if member.trouble:
            member.ask_at = self.clock.monotonic() + self._retry_seconds
