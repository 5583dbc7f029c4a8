"""Updates in any order, broken off anywhere, by two at once: the rows are those of a rebuild."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_stores import ASSETS, DECLARED, NOW, SITES, MadeUpStore, projection
from sqlalchemy import event

from holdfast.catalog.asking import contents, contents_digest
from holdfast.catalog.database import Database
from holdfast.catalog.opening import open_catalog
from holdfast.catalog.seen import Look, ProofFact
from holdfast.testing.postgres import PostgresServer

_KEYS = (
    *(f"snapshots/{asset}/s{number}" for asset in (*ASSETS, "undeclared") for number in range(7)),
    *(f"refs/{asset}/validated" for asset in ASSETS),
    *(f"sites/n{number}" for number in range(3)),
    *(f"runs/r{run}/{number:010d}" for run in range(2) for number in range(4)),
)


class Died(Exception):
    """The process ended here."""


Opener = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """A new, empty catalog each time; all are closed in the end."""
    opened: list[Database] = []
    numbers = count()

    def open_new() -> Database:
        if request.param == "sqlite":
            place = str(tmp_path / f"{next(numbers)}.sqlite")
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            place = server.new_database()
        opened.append(open_catalog(place, "acme"))
        return opened[-1]

    yield open_new
    for database in opened:
        database.close()


@pytest.fixture
def pair(opener: Opener) -> tuple[Database, Database]:
    """One that is updated, one that is rebuilt. Examples use both again: what earlier ones left must not matter."""
    return opener(), opener()


def _rows(database: Database) -> dict[str, list[object]]:
    with database.reading() as connection:
        return {name: list(rows) for name, rows in contents(connection).items()}


def _rebuild(database: Database, stores: list[MadeUpStore]) -> dict[str, list[object]]:
    """From nothing: every store forgotten first."""
    made = projection(database)
    made.declare(DECLARED)
    for store in stores:
        made.forget(store.name)
    for store in reversed(stores):
        assert not made.take(store, anew=True).problem
    return _rows(database)


_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(SITES), st.sampled_from(_KEYS), st.integers(1, 8)),
        st.tuples(st.just("delete"), st.sampled_from(SITES), st.sampled_from(_KEYS), st.just(0)),
        st.tuples(st.just("prove"), st.sampled_from(SITES), st.sampled_from(_KEYS[:14]), st.integers(1, 9)),
        st.tuples(st.just("forget proof"), st.sampled_from(SITES), st.sampled_from(_KEYS[:14]), st.just(0)),
        st.tuples(st.just("reconfigure"), st.sampled_from(SITES), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("update"), st.sampled_from(SITES), st.just(""), st.just(0)),
        st.tuples(st.just("die in an update"), st.sampled_from(SITES), st.just(""), st.integers(1, 40)),
        st.tuples(st.just("away and back"), st.sampled_from(SITES), st.just(""), st.just(0)),
        st.tuples(st.just("declare"), st.just("a"), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


@given(changes=_CHANGES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("opener", ["sqlite"], indirect=True)
def test_any_updates_leave_the_rows_of_a_rebuild(
    pair: tuple[Database, Database], changes: list[tuple[str, str, str, int]]
) -> None:
    _compare(pair, changes)


@given(changes=_CHANGES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("opener", ["postgresql"], indirect=True)
def test_so_do_they_in_postgresql(pair: tuple[Database, Database], changes: list[tuple[str, str, str, int]]) -> None:
    _compare(pair, changes)


def _compare(pair: tuple[Database, Database], changes: list[tuple[str, str, str, int]]) -> None:
    updated, rebuilt = pair
    stores = {name: MadeUpStore(f"{name}/warm") for name in SITES}
    made = projection(updated)
    made.declare(DECLARED)
    for verb, site, key, number in changes:
        store = stores[site]
        match verb:
            case "put":
                store.objects[key] = number
            case "delete":
                store.objects.pop(key, None)
            case "prove":
                store.proofs[key.rpartition("/")[2]] = ProofFact(NOW + number, "decoded")
            case "forget proof":
                store.proofs.pop(key.rpartition("/")[2], None)
            case "reconfigure":
                store.salt = str(number).encode()
            case "update":
                assert not made.take(store).problem
            case "die in an update":
                with suppress(Died), _dying(updated, number):
                    made.take(store)
            case "away and back":
                store.away = True
                assert made.take(store).problem == "away"
                store.away = False
            case "declare":
                made.declare(DECLARED)
    for store in stores.values():
        assert not made.take(store).problem
    assert _rows(updated) == _rebuild(rebuilt, list(stores.values()))


class _dying:
    """After so many statements that write the process ends: what was not committed is lost."""

    def __init__(self, database: Database, after: int) -> None:
        self._database = database
        self._left = after

    def __enter__(self) -> None:
        event.listen(self._database.engine, "before_cursor_execute", self._count)

    def __exit__(self, *_: object) -> None:
        event.remove(self._database.engine, "before_cursor_execute", self._count)

    def _count(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            self._left -= 1
            if self._left == 0:
                raise Died


def test_an_update_reads_only_what_is_new(opener: Opener) -> None:
    store = MadeUpStore("a/warm")
    store.objects = dict.fromkeys(_KEYS, 1)
    made = projection(opener())
    made.declare(DECLARED)
    assert made.take(store).read == len(_KEYS)
    store.reads = 0
    assert made.take(store).read == 0
    store.objects["snapshots/x/s9"] = 1
    del store.objects["snapshots/y/s1"]
    taken = made.take(store)
    assert (taken.read, taken.gone, store.reads) == (1, 1, 1)


class _Slow(MadeUpStore):
    """Between looking and writing somebody else goes first, as often as `overtaken` says."""

    def __init__(self, name: str, other: Callable[[], None], overtaken: int) -> None:
        super().__init__(name)
        self._other = other
        self.overtaken = overtaken

    def look(self) -> Look:
        found = super().look()
        if self.overtaken:
            self.overtaken -= 1
            self._other()
        return found


def test_who_looked_before_another_one_wrote_looks_again(opener: Opener) -> None:
    database = opener()
    fast = MadeUpStore("a/warm")
    fast.objects = {"snapshots/x/s1": 1, "snapshots/x/s2": 1}
    made = projection(database)
    made.declare(DECLARED)

    def overtake() -> None:
        slow.objects = dict(fast.objects)  # the store itself changes after it was listed
        made.take(fast)

    slow = _Slow("a/warm", overtake, 1)
    slow.objects = {"snapshots/x/s1": 1}
    made.take(slow)
    with database.reading() as connection:
        assert len(contents(connection)["snapshots"]) == 2, "an older listing took a newer row away"


def test_two_at_once_leave_the_rows_of_a_rebuild(opener: Opener) -> None:
    database, rebuilt = opener(), opener()
    other = open_catalog(str(database.path) if database.path else database.shown, "acme")
    stores = [MadeUpStore(f"{name}/warm") for name in SITES]
    for store in stores:
        store.objects = dict.fromkeys(_KEYS, 1)
        store.proofs = {"s1": ProofFact(NOW, "decoded")}
    projection(database).declare(DECLARED)
    troubles: list[BaseException] = []

    def work(mine: Database, order: list[MadeUpStore]) -> None:
        try:
            made = projection(mine)
            for turn in range(4):
                for store in order:
                    store.objects[f"snapshots/x/s{10 + turn}"] = 1
                    made.take(store)
        except BaseException as error:
            troubles.append(error)

    threads = [
        threading.Thread(target=work, args=(database, stores)),
        threading.Thread(target=work, args=(other, stores[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    for store in stores:
        assert projection(other).take(store).read == 0, "nothing was left over"
    other.close()
    assert _rows(database) == _rebuild(rebuilt, stores)
    with database.reading() as connection, rebuilt.reading() as second:
        assert contents_digest(connection) == contents_digest(second)


def test_proofs_come_change_and_go(opener: Opener) -> None:
    database, rebuilt = opener(), opener()
    store = MadeUpStore("a/warm")
    store.objects = {"snapshots/x/s1": 1, "snapshots/x/s2": 1}
    made = projection(database)
    made.declare(DECLARED)
    for proofs in ({"s1": 1, "s2": 1, "s9": 1}, {"s1": 2, "s2": 1}, {"s2": 1}, {}):
        store.proofs = {one: ProofFact(NOW + at, "decoded") for one, at in proofs.items()}
        made.take(store)
        assert len(_rows(database)["proofs"]) == len(proofs.keys() - {"s9"})
        assert _rows(database) == _rebuild(rebuilt, [store])
