"""Opening: tables of this version, of a newer one, of somebody else; damage, a full disk, two at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from made_up_stores import ASSETS, DECLARED, NOW, MadeUpStore, projection
from sqlalchemy import text

from holdfast.catalog.asking import asset_known, contents
from holdfast.catalog.judging import observe, stand_all
from holdfast.catalog.models import Base
from holdfast.catalog.opening import open_catalog, set_aside
from holdfast.catalog.seen import ProofFact
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    NotFoundError,
    RefusedError,
    StorageFullError,
    StoreUnreachableError,
    UnsupportedFormatError,
    UsageError,
)
from holdfast.objectives.measured import NOT_MEASURED
from holdfast.testing.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "folder" / "catalog.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


def test_migrations_make_the_tables_of_the_models(place: str) -> None:
    database = open_catalog(place, "acme")
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    database.close()
    assert differences == []


def test_tables_of_a_newer_version_are_left_alone(place: str) -> None:
    database = open_catalog(place, "acme")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for make in (True, False):
        with pytest.raises(UnsupportedFormatError, match="newer Holdfast"):
            open_catalog(place, "acme", make=make)


def test_each_organisation_has_its_own(place: str) -> None:
    with pytest.raises(NotFoundError, match="catalog"):
        open_catalog(place, "acme", make=False)
    open_catalog(place, "acme").close()
    open_catalog(place, "acme", make=False).close()
    with pytest.raises(RefusedError, match="'acme'"):
        open_catalog(place, "other")


def test_several_that_open_at_once_make_it_once(place: str) -> None:
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            open_catalog(place, "acme").close()
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


def test_damage_in_the_middle_is_told_and_the_file_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    database = open_catalog(str(path), "acme")
    made = projection(database)
    made.declare(DECLARED)
    store = MadeUpStore("a/warm")
    store.objects = {f"snapshots/x/s{number}": 1 for number in range(400)}
    made.take(store)
    with pytest.raises(ConflictError, match="another process"):
        set_aside(path)  # while it is open
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = bytes(len(data) - 4096 * 2)
    path.write_bytes(bytes(data))
    with pytest.raises(DamageError, match="damaged"):
        database = open_catalog(str(path), "acme")
        try:
            with database.reading() as connection:
                contents(connection)
        finally:
            database.close()
    aside = set_aside(path)
    assert aside.exists()
    assert not path.exists()
    open_catalog(str(path), "acme").close()


def test_a_full_disk_costs_the_transaction_and_nothing_else(tmp_path: Path) -> None:
    database = open_catalog(str(tmp_path / "catalog.sqlite"), "acme")
    made = projection(database, group=10_000)
    made.declare(DECLARED)
    store = MadeUpStore("a/warm")
    store.objects = {"snapshots/x/s1": 1}
    made.take(store)
    with database.reading() as connection:
        before = contents(connection)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")  # what a full disk is to SQLite
    store.objects |= {f"snapshots/x/s{number}": 1 for number in range(10, 5000)}
    with pytest.raises(StorageFullError, match="no space"):
        made.take(store)
    with database.reading() as connection:
        assert contents(connection) == before
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert made.take(store).read == 4990
    database.close()


def test_a_writer_that_is_killed_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    code = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from made_up_stores import *\n"
        "from holdfast.catalog.opening import open_catalog\n"
        f"database = open_catalog({str(path)!r}, 'acme')\n"
        "made = projection(database)\n"
        "made.declare(DECLARED)\n"
        "store = MadeUpStore('a/warm')\n"
        "store.objects = {f'snapshots/{asset}/s{n}': 1 for asset in 'abcdef' for n in range(3)}\n"
        "reads = 0\n"
        "read = store.read\n"
        "def dying(prefix, infos):\n"
        "    if prefix.endswith('e'):\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return read(prefix, infos)\n"
        "store.read = dying\n"
        "made.take(store)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    database = open_catalog(str(path), "acme")
    store = MadeUpStore("a/warm")
    store.objects = {f"snapshots/{asset}/s{number}": 1 for asset in "abcdef" for number in range(3)}
    taken = projection(database).take(store)
    database.close()
    assert taken.read == 6, "four of six folders were written before it died"


def test_passwords_come_from_a_file_alone(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    place = postgres.new_database()
    with pytest.raises(UsageError, match="password"):
        open_catalog(place.replace("holdfast@", "holdfast:s3cret@"), "acme")
    with pytest.raises(NotFoundError, match="no such database"):
        open_catalog(place.replace("/catalog", "/nowhere"), "acme")
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    with pytest.raises(CredentialError) as caught:
        open_catalog(place, "acme")
    assert postgres.passfile.read_text().rpartition(":")[2].strip() not in str(caught.value)
    with pytest.raises(StoreUnreachableError):
        open_catalog("postgresql://me@127.0.0.1:1/x", "acme")
    with pytest.raises(UsageError, match="cannot lie in 'mysql'"):
        open_catalog("mysql://me@127.0.0.1/x", "acme")


def test_a_connection_that_is_cut_is_an_error_and_the_next_update_goes_on(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "own") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", str(server.passfile))
        database = open_catalog(server.new_database(), "acme")
        made = projection(database)
        made.declare(DECLARED)
        store = MadeUpStore("a/warm")
        store.objects = {"snapshots/x/s1": 1}
        made.take(store)
        server.stop()
        with pytest.raises(StoreUnreachableError):
            made.take(store)
        server.start()
        store.objects["snapshots/x/s2"] = 1
        assert made.take(store).read == 1
        database.close()


def test_objectives_are_judged_by_what_counts(place: str) -> None:
    database = open_catalog(place, "acme")
    made = projection(database)
    made.declare(DECLARED)
    minute = 60 * 10**9
    a, b = MadeUpStore("a/warm"), MadeUpStore("b/warm")
    a.objects = {f"snapshots/x/s{number}": 1 for number in (1, 2, 3, 5)}
    b.objects = {f"snapshots/x/s{number}": 1 for number in (1, 2, 5)}
    b.objects["runs/r/0000000002"] = 2
    a.proofs = {f"s{number}": ProofFact(NOW + 4 * minute, "decoded") for number in (1, 2, 3, 5)}
    b.proofs = {"s1": ProofFact(NOW + 4 * minute, "decoded"), "s5": ProofFact(NOW + 6 * minute, "decoded")}
    for store in (a, b):
        made.take(store)
    at = NOW + 10 * minute
    with database.reading() as connection:
        x, y = observe(connection, at)
        assert (x.asset, y.asset) == ASSETS
        # s5 was set aside; if `a` dies, s1 is what was read back at `b`; if `b` dies, s3.
        assert x.exposure == 9 * 60
        assert x.interval == 60
        assert x.drilled is not None
        assert (x.drilled.drill, x.planned) == ("r", 60)
        assert y.exposure is NOT_MEASURED
        assert [one.state.value for one in stand_all(connection, at, ["x"])] == ["MET"]
        [later] = observe(connection, at + 31 * 86_400 * 10**9, ["x"])
        assert later.exposure is NOT_MEASURED, "proofs count for thirty days"
        assert asset_known(connection, "x", at).snapshots[0].verdict == "set aside"
    b.away = True
    made.take(b)
    with database.reading() as connection:
        assert observe(connection, at, ["x"])[0].exposure is NOT_MEASURED, "who does not answer is taken for lost"
    b.away = False
    b.proofs.pop("s1")  # damage was found there since
    made.take(b)
    with database.reading() as connection:
        assert observe(connection, at, ["x"])[0].exposure is NOT_MEASURED
    database.close()
