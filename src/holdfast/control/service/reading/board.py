"""How all assets stand, judged in the background and kept with its age: a page of ten thousand assets then costs no
question that grows with them.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.crediting import drills_of
from holdfast.control.service.reading.recoverable import Reachable, reachable, steps_at
from holdfast.control.service.reading.samples import Sample, Samples, changed
from holdfast.control.service.reading.shapes import Freshness, clipped, time_of
from holdfast.errors import HoldfastError
from holdfast.homes import state_home
from holdfast.objectives.standing import Standing, State

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdfast.control.service.context import Service

__all__ = ["Board", "Judged", "Row", "Seen", "board_of"]

_LEAST_S: Final = 5.0  # between two judgements
_SHARE: Final = 20.0  # a judgement may cost one part in so many of the time
_STALE_TIMES: Final = 6.0
_CATALOG_STALE_S: Final = 15 * 60.0
_AT_ONCE: Final = 200  # assets in one question
_NOWHERE: Final[tuple[str, int | None]] = ("", None)


class Row(msgspec.Struct, frozen=True, gc=False):
    """An asset as it stood. Not for the garbage collector: ten thousand of them, and none leads back to itself.

    `snapshot`, `step`: what `reach` leads to. `found`: its name in lower case, for the search.
    """

    standing: Standing
    state: State
    reach: Reachable | None
    snapshot: str
    step: int | None
    home: str
    kind: str
    priority: int
    found: str


class Seen(NamedTuple):
    """A store, as the catalog saw it last: times in ns."""

    name: str
    site: str
    looked_at: int | None
    answered_at: int | None
    problem: str


class Judged(NamedTuple):
    """Rows with the worst first. `at`: ns. `changes`: since `since` (ns), None where nothing older is known."""

    rows: list[Row]
    tallies: dict[str, int]
    stores: list[Seen]
    at: int
    since: int | None
    changes: list[tuple[str, State | None, State | None]]


class Board:
    """Of one service. Any number of threads may ask; one judges."""

    def __init__(self, service: Service) -> None:
        self._service = weakref.ref(service)
        home = state_home(service.environment)
        path = None if home is None else home / "holdfast" / "standings" / f"{service.organisation}.sqlite"
        self._samples = Samples(path)
        self._first = threading.Lock()
        self._busy = threading.Lock()
        self._judged: Judged | None = None
        self._made_at = 0.0
        self._took = 0.0
        self._steps: dict[tuple[str, int], tuple[str, int | None]] = {}
        self._problem: HoldfastError | None = None

    def judged(self) -> Judged:
        """The newest there is; one that is due is begun in the background. The first caller waits for the first.

        Raises what asking the catalog raises, as long as it was never answered.
        """
        service = self._service()
        assert service is not None
        if self._judged is None:
            with self._first:
                if self._judged is None:
                    self._renew(service)
        elif service.clock.monotonic() - self._made_at > self.interval:
            self._renew_behind(service)
        if self._judged is None:
            assert self._problem is not None
            raise self._problem
        return self._judged

    @property
    def interval(self) -> float:
        """Seconds between two judgements: longer where one takes long."""
        return max(_LEAST_S, _SHARE * self._took)

    def freshness(self) -> list[Freshness]:
        """How old the judgement is, and the catalog that it was made from."""
        service, judged = self._service(), self._judged
        if service is None or judged is None:
            return []
        now = service.clock.now_ns()
        age = max(0.0, (now - judged.at) / NANOSECONDS)
        problem = "" if self._problem is None else clipped(self._problem.message)
        found = [
            Freshness(
                what="judged",
                at=time_of(judged.at),
                age_seconds=age,
                stale=bool(problem) or age > _STALE_TIMES * self.interval,
                problem=problem,
            )
        ]
        looked = [one.looked_at for one in judged.stores if one.looked_at is not None]
        if looked:
            since = max(0.0, (now - min(looked)) / NANOSECONDS)  # no store's answer is older than what is said
            silent = [one.name for one in judged.stores if one.problem]
            words = f"{', '.join(silent[:3])}{' and others' if len(silent) > 3 else ''} did not answer"
            found.append(
                Freshness(
                    what="stores asked",
                    at=time_of(min(looked)),
                    age_seconds=since,
                    stale=since > _CATALOG_STALE_S or bool(silent),
                    problem=words if silent else "",
                )
            )
        return found

    def series(self, asset: str) -> list[tuple[int, float | None]]:
        """Exposures of the last day: (ns, seconds or None)."""
        return list(self._samples.series(asset))

    def renew(self) -> None:
        """Judge now, in this thread. What goes wrong is kept, and said by `judged` and `freshness`."""
        service = self._service()
        if service is not None:
            with self._busy:
                self._renew(service)

    def _renew_behind(self, service: Service) -> None:
        if not self._busy.acquire(blocking=False):
            return

        def work() -> None:
            try:
                self._renew(service)
            finally:
                self._busy.release()

        try:
            threading.Thread(target=work, name="holdfast-standings", daemon=True).start()
        except RuntimeError:  # no thread can be started: what is known stays, and says its age
            self._busy.release()

    def _renew(self, service: Service) -> None:
        begun = service.clock.monotonic()
        try:
            with service.catalog() as connection:
                judged = self._judge(service, connection)
        except HoldfastError as error:
            self._problem = error
        else:
            self._judged, self._problem = judged, None
        finally:
            self._made_at = service.clock.monotonic()
            self._took = self._made_at - begun

    def _judge(self, service: Service, connection: Connection) -> Judged:
        from sqlalchemy import select

        from holdfast.catalog.judging import stand_all
        from holdfast.catalog.models import Asset, StoreRow

        at = service.clock.now_ns()
        standings = stand_all(connection, at, None, drills_of(service).joined)
        reach = reachable(connection, at)
        known = {
            name: (home, kind, priority)
            for name, home, kind, priority in connection.execute(
                select(Asset.name, Asset.home, Asset.kind, Asset.priority).where(Asset.declared)
            )
        }
        stores = [
            Seen(*row)
            for row in connection.execute(
                select(
                    StoreRow.name, StoreRow.site, StoreRow.looked_at, StoreRow.answered_at, StoreRow.problem
                ).order_by(StoreRow.name)
            )
        ]
        steps = self._steps_of(connection, reach)
        order = list(State)
        rank = {state: -number for number, state in enumerate(order)}
        rows = []
        for one in standings:
            to = reach.get(one.asset)
            snapshot, step = steps.get((one.asset, to.content), _NOWHERE) if to and to.content else _NOWHERE
            home, kind, priority = known[one.asset]
            rows.append(Row(one, one.state, to, snapshot, step, home, kind, priority, one.asset.lower()))
        rows.sort(key=lambda row: (rank[row.state], -row.priority, -_share(row), row.standing.asset))
        tallies = Counter(row.state.value for row in rows)
        states = {row.standing.asset: row.state for row in rows}
        before = self._samples.day_before(at)
        changes = [] if before is None else changed(before, states)
        changes.sort(key=lambda one: (-_rank(one[2]), one[0]))
        if self._samples.is_due(at):
            kept = self._samples.all()
            sampled = ((row.standing.asset, row.state, _exposure(row)) for row in rows)
            self._samples.add(Sample.of(at, sampled, kept[-1] if kept else None))
        return Judged(
            rows,
            {state.value: tallies.get(state.value, 0) for state in reversed(order)},
            stores,
            at,
            None if before is None else before.at,
            changes,
        )

    def _steps_of(
        self, connection: Connection, reach: dict[str, Reachable]
    ) -> dict[tuple[str, int], tuple[str, int | None]]:
        """Only of what was not reached in the last judgement, so that a page has nothing to ask of the catalog."""
        wanted = [(asset, to.content) for asset, to in reach.items() if to.content is not None]
        new = [one for one in wanted if one not in self._steps]
        found = self._steps | {
            at: step
            for first in range(0, len(new), _AT_ONCE)
            for at, step in steps_at(connection, new[first : first + _AT_ONCE]).items()
        }
        self._steps = {one: found[one] for one in wanted if one in found}
        return self._steps


def _exposure(row: Row) -> float | None:
    current = row.standing.rpo.current
    return current if isinstance(current, (int, float)) else None


def _share(row: Row) -> float:
    """Of its RPO that is used up: what is nearest to be lost comes first among equals."""
    current, target = _exposure(row), row.standing.rpo.target
    return 0.0 if current is None or not target else current / target


def _rank(state: State | None) -> int:
    return -1 if state is None else list(State).index(state)


_boards: weakref.WeakKeyDictionary[Service, Board] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def board_of(service: Service) -> Board:
    """One for each service, however many ask."""
    with _lock:
        found = _boards.get(service)
        if found is None:
            found = _boards[service] = Board(service)
        return found
