"""When a vault was whole: moments to go back to, the newest first, judged by the versions that the store keeps.

A moment is worth looking at just before something happened that no save does: an object that is written once was
overwritten or deleted, or a configuration was added. What happened second by second is one event. Each moment is
opened as the vault was then and checked as `vault check` does; where packs had been overwritten by then, their bytes
are read as well. A snapshot whose root was hidden before its lock ended is missed: without it no vault is whole.

What an attacker added and destroyed again leaves no trace but that something that he added is not sound. So of a moment
that is not whole, the one before each unsound object and snapshot was added is looked at, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from holdfast.errors import CredentialError, DamageError, HoldfastError, NotFoundError, ObjectNotFoundError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.stores.retention.past import PastStore, current_at, versions_by_key
from holdfast.stores.retention.port import ObjectLocks, Version
from holdfast.vault.checking.whole_vault import check_vault
from holdfast.vault.format.documents import read_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import CONFIG, PACKS, PARTS, SNAPSHOTS
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.handle import Handle
from holdfast.vault.locking.reach import reach_of
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Event", "Moment", "find_moments", "MOMENTS_MAX"]

MOMENTS_MAX = 50
_TOGETHER_NS = 10**9  # as exactly as stores tell times
_ONE_BY_ONE = 5  # moments, before any are left out
_WATCHED = (SNAPSHOTS, PACKS, PARTS, CONFIG)

Opener = Callable[[Store], Handle]


class Event(NamedTuple):
    """What happened between two times (ns, the store's clock) to objects that are written once. `added`: of those that
    are not sound.
    """

    first_ns: int
    last_ns: int
    overwritten: int
    deleted: int
    configured: int
    added: int = 0

    def __str__(self) -> str:
        said = [(self.overwritten, "overwritten"), (self.deleted, "deleted"), (self.configured, "configuration")]
        said.append((self.added, "added"))
        return ", ".join(f"{number} {what}" for number, what in said if number)


class Moment(NamedTuple):
    """The vault as of then. `snapshots`: ids of those that were whole, oldest first. `damaged`: objects that were not
    sound. `hidden`: keys of roots that were gone though they were locked. `error`: why it did not open. `then`: what
    happened right after; None for the present.
    """

    time_ns: int
    snapshots: tuple[str, ...]
    damaged: tuple[str, ...]
    hidden: tuple[str, ...]
    error: str
    then: Event | None

    @property
    def is_whole(self) -> bool:
        return not (self.error or self.damaged or self.hidden)


def find_moments(
    store: Store,
    locks: ObjectLocks,
    open_past: Opener,
    *,
    most: int = MOMENTS_MAX,
    past_whole: bool = False,
    progress: Progress = SILENT,
) -> list[Moment]:
    """Moments, the newest first: the present, and the newest one that is whole with those that were looked at on the
    way to it; with `past_whole` all. `open_past` opens the vault on a store. At most `most` of them. Changes nothing.

    After a few that are not whole some are left out, and looked at again from the other side once an older one is
    whole: an attack that took days is passed over in a few steps. What the store raises is raised; a vault that did
    not open then is a moment with an error.
    """
    progress.phase("listing versions", None)
    stacks = versions_by_key(locks.versions(""))
    search = _Search(_Looking(store, locks, open_past, stacks), locks.now_ns(), _events(stacks), most, progress)
    found = search.everything() if past_whole else search.newest_whole()
    return sorted(found, key=lambda one: -one.time_ns)


class _Search:
    """`times`: what may be looked at, newest first; grows when something unsound is found."""

    def __init__(self, looking: _Looking, now_ns: int, events: Sequence[Event], most: int, progress: Progress) -> None:
        self._looking = looking
        self._then: dict[int, Event | None] = {now_ns: None}
        self._then |= {event.first_ns - 1: event for event in events if event.first_ns <= now_ns}
        self._most = most
        self._progress = progress
        self._judged: dict[int, Moment] = {}

    def newest_whole(self) -> Iterable[Moment]:
        newer, older, step = -1, 0, 1
        while older < len(self._times) and len(self._judged) < self._most:
            at = self._times[older]
            if self._judge(at).is_whole:
                break
            newer = self._times.index(at)  # times may have been added
            older = newer + step
            if older >= len(self._times) and newer < len(self._times) - 1:
                older = len(self._times) - 1
            step = step * 2 if len(self._judged) >= _ONE_BY_ONE else 1
        while older < len(self._times) and older - newer > 1 and len(self._judged) < self._most:
            middle = (newer + older) // 2
            last = self._times[older]
            at = self._times[middle]
            is_whole = self._judge(at).is_whole
            middle, older = self._times.index(at), self._times.index(last)
            newer, older = (newer, middle) if is_whole else (middle, older)
        return self._judged.values()

    def everything(self) -> Iterable[Moment]:
        number = 0
        while number < min(len(self._times), self._most):
            self._judge(self._times[number])
            number += 1
        return self._judged.values()

    @property
    def _times(self) -> list[int]:
        return sorted(self._then, reverse=True)

    def _judge(self, time_ns: int) -> Moment:
        self._progress.phase(f"looking at moment {len(self._judged) + 1}", None)
        moment = self._looking.judge(time_ns, self._then[time_ns])
        self._judged[time_ns] = moment
        if not moment.is_whole:
            for added_ns in self._looking.added(moment):
                if added_ns <= time_ns:
                    self._then.setdefault(added_ns - 1, Event(added_ns, added_ns, 0, 0, 0, 1))
        return moment


def _events(stacks: Mapping[str, Sequence[Version]]) -> list[Event]:
    """In order of time."""
    happened: list[tuple[int, str]] = []
    created = min((stack[-1].modified_ns for key, stack in stacks.items() if key.startswith(CONFIG)), default=0)
    for key, stack in stacks.items():
        if not key.startswith(_WATCHED):
            continue
        for newer, older in pairwise(stack):
            if newer.is_marker and not older.is_marker:
                happened.append((newer.modified_ns, "deleted"))
            elif not newer.is_marker:
                happened.append((newer.modified_ns, "overwritten"))
        if key.startswith(CONFIG) and stack[-1].modified_ns > created:
            happened.append((stack[-1].modified_ns, "configured"))
    events: list[Event] = []
    for time_ns, what in sorted(happened):
        if not events or time_ns > events[-1].last_ns + _TOGETHER_NS:
            events.append(Event(time_ns, time_ns, 0, 0, 0))
        last = events[-1]
        events[-1] = last._replace(last_ns=time_ns, **{what: getattr(last, what) + 1})
    return events


class _Looking:
    def __init__(
        self, store: Store, locks: ObjectLocks, open_past: Opener, stacks: Mapping[str, Sequence[Version]]
    ) -> None:
        self._store = store
        self._locks = locks
        self._open_past = open_past
        self._stacks = stacks
        self._ends: dict[tuple[str, str], int] = {}
        self._sound: dict[tuple[str, str], bool] = {}
        self._hurt: set[str] = set()  # ids of snapshots that were not whole at the last moment that was judged

    def added(self, moment: Moment) -> Iterator[int]:
        """When what was not sound at the moment just judged was added, as far as there is a trace of it."""
        for key, stack in self._stacks.items():
            is_hurt = key.startswith(SNAPSHOTS) and key.rpartition("/")[2] in self._hurt
            if is_hurt or key in moment.damaged:
                yield stack[-1].modified_ns

    def judge(self, time_ns: int, then: Event | None) -> Moment:
        hidden = tuple(self._hidden_at(time_ns))
        self._hurt = set()
        past = PastStore(self._store, self._locks, time_ns, stacks=self._stacks)
        try:
            handle = self._open_past(past)
            report = check_vault(handle)
            hidden = tuple(key for key in hidden if self._is_root(handle, key, time_ns))
            roots = [one.root for one in list_roots(handle) if one.root is not None]
            damaged = {one.object for one in report.damages}
            hurt = {snapshot for one in report.damages for snapshot in one.snapshots}
            unsound = frozenset(self._unsound_packs(past)) - damaged
            if unsound:
                hurt |= {root.id for root in roots if root.id not in hurt and reach_of(handle, root).packs & unsound}
        except HoldfastError as error:
            return Moment(time_ns, (), (), hidden, error.message, then)
        self._hurt = hurt
        whole = tuple(root.id for root in roots if root.id not in hurt)
        return Moment(time_ns, whole, tuple(sorted(damaged | unsound)), hidden, "", then)

    def _hidden_at(self, time_ns: int) -> Iterator[str]:
        """Roots that were gone at that time though their locks had not ended when they went."""
        for key, stack in self._stacks.items():
            if not key.startswith(SNAPSHOTS) or current_at(stack, time_ns) is not None:
                continue
            marker = next((one for one in stack if one.modified_ns <= time_ns), None)
            below = next((one for one in stack if marker and one.modified_ns <= time_ns and not one.is_marker), None)
            if marker is not None and below is not None and self._end_of(below) > marker.modified_ns:
                yield key

    def _is_root(self, handle: Handle, key: str, time_ns: int) -> bool:
        """Whether what was hidden is a snapshot of the vault's, and not junk that was taken away again."""
        below = next(one for one in self._stacks[key] if one.modified_ns <= time_ns and not one.is_marker)
        try:
            read_document(handle.keys, Kind.ROOT, key, self._locks.read_version(key, below.version))
        except (DamageError, NotFoundError, CredentialError):  # of no trusted member, too
            return False
        return True

    def _end_of(self, version: Version) -> int:
        name = (version.key, version.version)
        if name not in self._ends:
            try:
                lock = self._locks.retention_of(*name)
            except ObjectNotFoundError:
                lock = None
            self._ends[name] = lock.until_ns if lock is not None else 0
        return self._ends[name]

    def _unsound_packs(self, past: PastStore) -> Iterator[str]:
        """Of the packs that had been overwritten by then, those whose bytes are not what their names say."""
        for key, version in past.chosen().items():
            if not key.startswith(PACKS) or not self._was_overwritten(version):
                continue
            name = (key, version.version)
            if name not in self._sound:
                try:
                    scrub_object(key, self._locks.read_version(*name))
                    self._sound[name] = True
                except (DamageError, NotFoundError):
                    self._sound[name] = False
            if not self._sound[name]:
                yield key

    def _was_overwritten(self, version: Version) -> bool:
        stack = self._stacks[version.key]
        return any(not one.is_marker for one in stack[stack.index(version) + 1 :])
