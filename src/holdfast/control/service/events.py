"""What happens, as one line of events for all who watch: entries of journals, incidents, work.

One thread looks at the stores, whatever the number of viewers, and only while there are any. Events go into a ring that
all viewers read at their own pace; nobody has a queue of their own, so memory is bounded. The events of a run are its
journal's entries, and their ids the entries' numbers: they resume exactly, also after a restart. The common line has
ids of this process; who comes back with another's, or too late, is told to look again (`reset`).
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from holdfast.errors import HoldfastError, NotFoundError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.recovery.journal.entries import Entry
    from holdfast.recovery.journal.journal import Journal

__all__ = ["Event", "EventLine", "RunEvent"]

_RING: Final = 10_000
_RING_BYTES: Final = 32 << 20
_RUNS_MAX: Final = 64  # journals that are followed at a time
_START: Final = "start"  # in the place of a number: before the first event of a process
_NEWEST: Final = 20
_DISCOVER_S: Final = 5.0
_SITES_S: Final = 60.0
_TEXT_MAX: Final = 500


class Event(NamedTuple):
    """`id`: `<process>-<number>` of the common line. `kind`: run, incident, work, trouble. `data`: JSON."""

    id: str
    kind: str
    data: bytes


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a run's journal, and what the run came to by it. Times are RFC 3339; `left_seconds` is the estimate
    of what is left; None: nobody measured it.
    """

    run: str
    number: int
    at: str
    deed: str
    by: str
    step: str
    text: str
    state: str
    done: int
    steps: int
    under_way: list[str]
    left_seconds: float | None


class EventLine:
    """Of one server. `told`: called from the thread that looks, after new events are there."""

    def __init__(self, service: Service, poll_s: float = 1.0) -> None:
        self._service, self._poll = service, poll_s
        self.process = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._next = 0
        self._tails: OrderedDict[str, _Tail] = OrderedDict()
        self._told: set[Callable[[], None]] = set()
        self._wanted: dict[str, int] = {}
        self._wake = threading.Event()
        self._gone = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: dict[str, str] = {}
        self._seen: dict[str, dict[str, bytes]] = {}
        self.before: Callable[[str], None] = lambda kind: None
        """Called with an event's kind before anybody is told: whoever keeps what was read lets go of it."""

    # For viewers

    def watch(self, told: Callable[[], None], run: str = "") -> None:
        """Begin to watch: all, or a run. Looking begins with the first viewer."""
        with self._lock:
            self._told.add(told)
            self._wanted[run] = self._wanted.get(run, 0) + 1
            if self._thread is None and not self._gone.is_set():
                self._thread = threading.Thread(target=self._look, name="events", daemon=True)
                self._thread.start()
        self._wake.set()

    def leave(self, told: Callable[[], None], run: str = "") -> None:
        """No longer."""
        with self._lock:
            self._told.discard(told)
            left = self._wanted.get(run, 1) - 1
            if left > 0:
                self._wanted[run] = left
            else:
                self._wanted.pop(run, None)

    def newest(self) -> int:
        """The place after the newest event of the common line."""
        with self._lock:
            return self._next

    def id_before(self, place: int) -> str:
        """What a viewer has who saw everything before that place: `place_after` of it is the place."""
        return f"{self.process}-{place - 1 if place else _START}"

    def place_after(self, event_id: str) -> int | None:
        """The place after an event of the common line; None where that is not known (any more)."""
        process, _, number = event_id.partition("-")
        if process != self.process or (number != _START and (not number.isdecimal() or len(number) > 15)):
            return None
        place = 0 if number == _START else int(number) + 1
        with self._lock:
            return place if self._next - len(self._ring) <= place <= self._next else None

    def since(self, place: int, most: int = 256) -> tuple[list[Event], int] | None:
        """Events from a place on, and the place after them; None where they are gone."""
        with self._lock:
            first = self._next - len(self._ring)
            if place < first:
                return None
            found = list(islice(self._ring, place - first, place - first + most))
            return found, place + len(found)

    def of_run(self, run: str, number: int, most: int = 256) -> list[bytes]:
        """The events of a run from that number on, as far as they were read; at most so many."""
        with self._lock:
            tail = self._tails.get(run)
            return [] if tail is None else tail.events[number : number + most]

    def read_run(self, run: str) -> int:
        """Read a run's journal now; how many events it has. Raises NotFoundError, and what reading it raises."""
        with self._lock:
            tail = self._tails.get(run)
        if tail is not None:
            return len(tail.events)
        tail = _Tail(self._service, run)
        tail.read()
        with self._lock:
            tail = self._tails.setdefault(run, tail)
            self._forget_some()  # also this one, where nobody watches it yet and everybody else's are watched
            return len(tail.events)

    def close(self) -> None:
        """End looking. Viewers are told once more."""
        self._gone.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=5)
        self._tell()

    @property
    def is_closed(self) -> bool:
        return self._gone.is_set()

    # Looking

    def _look(self) -> None:
        monotonic = self._service.clock.monotonic
        discovered: float | None = None
        while not self._gone.is_set():
            with self._lock:
                wanted = dict(self._wanted)
            if not wanted:
                self._wake.wait(self._poll * 10)
                self._wake.clear()
                continue
            begun = monotonic()
            if "" in wanted and (discovered is None or begun - discovered >= _DISCOVER_S):
                self._tried("runs", self._discover)
                self._tried("incidents", self._incidents)
                self._tried("work", self._work)
                discovered = begun
            self._follow([run for run in wanted if run])
            self._gone.wait(max(0.05, self._poll - (monotonic() - begun)))

    def _tried(self, what: str, look: Callable[[], None]) -> None:
        """Whatever is wrong is an event of its own, once."""
        try:
            look()
            said = ""
        except HoldfastError as error:
            said = error.message[:_TEXT_MAX]
        except Exception as error:  # noqa: BLE001 - the thread that looks for everybody does not end by one bad answer
            said = f"unexpected {type(error).__name__}"
        if self._trouble.get(what, "") != said:
            self._trouble[what] = said
            self._publish("trouble", {"about": what, "problem": said})

    def _follow(self, asked: Sequence[str]) -> None:
        with self._lock:
            everything = "" in self._wanted
            open_ones = [run for run, tail in self._tails.items() if everything and not tail.ended]
        for run in dict.fromkeys([*asked, *open_ones]):
            self._tried(f"run {run}", partial(self._follow_run, run))

    def _follow_run(self, run: str) -> None:
        with self._lock:
            tail = self._tails.get(run)
        if tail is None:
            self.read_run(run)
            self._tell()
            return
        if tail.ended:
            return
        for data in tail.read():
            self._publish("run", data)

    def _discover(self) -> None:
        """Runs that were not known: their newest entry is told."""
        from holdfast.control.recovering.journals import newest_journals

        service = self._service
        keys = service.vault().handle.keys
        first = not self._tails
        for run, journal in newest_journals(service.sites(), keys, _NEWEST, service.clock).items():
            with self._lock:
                known = run in self._tails
            if known:
                continue
            tail = _Tail(service, run, journal)
            found = list(tail.read())
            with self._lock:
                self._tails[run] = tail
                self._forget_some()
            for data in found if not first else []:
                self._publish("run", data)

    def _forget_some(self) -> None:
        while len(self._tails) > _RUNS_MAX:
            run = next((run for run in self._tails if run not in self._wanted), "")
            if not run:
                return
            del self._tails[run]

    def _incidents(self) -> None:
        from holdfast.control.incidents.reading import list_incidents

        self._changed(
            "incident", {one.id: msgspec.to_builtins(one) for one in list_incidents(self._service.sites(), limit=50)}
        )

    def _work(self) -> None:
        workflows = self._service.workflows
        if workflows is not None:
            self._changed("work", {one.key: msgspec.to_builtins(one) for one in workflows.list("", 50)})

    def _changed(self, kind: str, now: dict[str, Any]) -> None:
        before = self._seen.get(kind)
        found = {name: msgspec.json.encode(one, order="sorted") for name, one in now.items()}
        for name, data in found.items():
            if before is not None and before.get(name) != data:
                self._publish(kind, data)
        self._seen[kind] = found

    def _publish(self, kind: str, data: bytes | dict[str, Any]) -> None:
        body = data if isinstance(data, bytes) else msgspec.json.encode(data)
        self.before(kind)
        with self._lock:
            self._ring.append(Event(f"{self.process}-{self._next}", kind, body))
            self._next += 1
            self._ring_bytes += len(body)
            while len(self._ring) > _RING or self._ring_bytes > max(_RING_BYTES, len(body)):
                self._ring_bytes -= len(self._ring.popleft().data)
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            told = list(self._told)
        for one in told:
            one()


class _Tail:
    """The journal of a run, read on and on. Used by one thread at a time; `events` only grows."""

    def __init__(self, service: Service, run: str, journal: Journal | None = None) -> None:
        self.run = run
        self.events: list[bytes] = []
        self.ended = False
        self._service, self._journal = service, journal
        self._opened = service.clock.monotonic()
        self._entries: list[Entry] = []

    def read(self) -> Iterator[bytes]:
        """What is new. Raises NotFoundError, and what reading raises."""
        from holdfast.control.recovering.journals import find_run

        now = self._service.clock.monotonic()
        if self._journal is None or now - self._opened > _SITES_S:  # the vault's configuration may have changed
            keys = self._service.vault().handle.keys
            self._journal = find_run(self._service.sites(), keys, self.run, "", self._service.clock)
            self._opened = now
        else:
            try:
                self._journal.read()
            except NotFoundError:
                self._journal = None
                raise
        found = []
        for entry in self._journal.entries[len(self._entries) :]:
            self._entries.append(entry)
            data = msgspec.json.encode(self._told(entry))
            self.events.append(data)
            found.append(data)
        return iter(found)

    def _told(self, entry: Entry) -> RunEvent:
        from holdfast.clock import to_rfc3339
        from holdfast.recovery.journal.state import run_state
        from holdfast.recovery.running.executor import plan_of
        from holdfast.recovery.running.progress import progress_of

        state = run_state(self._entries)
        progress = progress_of(plan_of(state), state)
        self.ended = bool(state.verdict)
        return RunEvent(
            run=self.run,
            number=len(self.events),
            at=to_rfc3339(entry.at),
            deed=entry.deed.value,
            by=entry.by[:_TEXT_MAX],
            step=entry.step,
            text=entry.text[:_TEXT_MAX],
            state=state.word,
            done=progress.done,
            steps=progress.steps,
            under_way=list(progress.under_way),
            left_seconds=progress.left.seconds if progress.left.known else None,
        )
