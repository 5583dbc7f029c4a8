"""The catalog at scale, on data that is made up: judging all objectives, the status of one asset, memory, query plans.

`python -m benchmarks.catalog --assets 10000 --snapshots 1000000 --sites 100 --on sqlite postgresql` fills a database of
each kind, then asks it from a fresh process, and prints one JSON object. The data are deleted in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, text

from holdfast.catalog.asking import asset_known
from holdfast.catalog.database import Database
from holdfast.catalog.deriving import derive_arrivals, derive_assets
from holdfast.catalog.judging import newest_proofs, stand_all
from holdfast.catalog.models import Asset, Base, Proof, Replica, Site, Snapshot, StoreRow
from holdfast.catalog.opening import open_catalog
from holdfast.testing.postgres import PostgresServer

NOW = 1_780_000_000 * 10**9
HOUR = 3600 * 10**9
DAY = 24 * HOUR
EVERY = 12 * HOUR
PROVEN_DAYS = 25
BATCH = 20_000
Rows = Iterator[tuple[Any, ...]]


def _store(number: int) -> str:
    return f"site{number:03d}/warm"


class MadeUp:
    """Each asset has its home at one site, a copy at the next; a snapshot every 12 hours, the newest an hour old."""

    def __init__(self, assets: int, snapshots: int, sites: int) -> None:
        self.assets, self.each, self.sites = assets, snapshots // assets, sites

    def stores_of(self, asset: int) -> tuple[str, str]:
        return _store(asset % self.sites), _store((asset + 1) % self.sites)

    def content(self, number: int) -> int:
        return NOW - HOUR - (self.each - 1 - number) * EVERY

    def _each(self) -> Iterator[tuple[int, int, str, bytes]]:
        for asset in range(self.assets):
            for number in range(self.each):
                name = f"{asset:013d}{number:013d}"
                yield asset, number, name, hashlib.sha256(name.encode()).digest()[:16]

    def rows_of_assets(self) -> Rows:
        for asset in range(self.assets):
            home = self.stores_of(asset)[0].partition("/")[0]
            rpo = (2 * 3600.0, 86_400.0, 7 * 86_400.0)[asset % 3]
            yield f"asset{asset:05d}", True, "training", home, rpo, 14_400.0, asset % 10, 0, None, None

    def rows_of_sites(self) -> Rows:
        for number in range(self.sites):
            yield f"site{number:03d}", "aws", f"region{number}", "EU", "", None, "", ""

    def rows_of_stores(self) -> Rows:
        for number in range(self.sites):
            yield _store(number), f"site{number:03d}", "warm", NOW, NOW, ""

    def snapshots(self) -> Rows:
        for asset, number, name, digest in self._each():
            content = self.content(number)
            yield digest, name, f"asset{asset:05d}", content, content, number, 1 << 30, 1 << 28, "good", "w"

    def replicas(self) -> Rows:
        for asset, number, name, digest in self._each():
            for delay, store in enumerate(self.stores_of(asset)):
                stored = self.content(number) + delay * 60 * 10**9
                yield store, f"{asset:032x}", name, digest, 1000, stored, ""

    def proofs(self) -> Rows:
        for asset, number, name, _ in self._each():
            content = self.content(number)
            if content < NOW - PROVEN_DAYS * DAY:
                continue
            for delay, store in enumerate(self.stores_of(asset)):
                stored = content + delay * 60 * 10**9
                at = stored + 30 * 10**9
                yield store, name, "machine m", at, "decoded", f"asset{asset:05d}", content, content, stored


def fill(database: Database, data: MadeUp) -> None:
    """All rows that are seen, then those that follow, by the code of the projection."""
    seen: list[tuple[type[Base], Rows]] = [
        (Asset, data.rows_of_assets()),
        (Site, data.rows_of_sites()),
        (StoreRow, data.rows_of_stores()),
        (Snapshot, data.snapshots()),
        (Replica, data.replicas()),
        (Proof, data.proofs()),
    ]
    for model, rows in seen:
        table = Base.metadata.tables[model.__tablename__]
        (_insert if database.is_sqlite else _copy)(database, table, rows)
    for number in range(data.sites):
        series = [f"{asset:032x}" for asset in range(data.assets) if _store(number) in data.stores_of(asset)]
        with database.writing() as connection:
            derive_arrivals(connection, _store(number), series)
    with database.writing() as connection:
        derive_assets(connection, [f"asset{asset:05d}" for asset in range(data.assets)])
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)" if database.is_sqlite else "ANALYZE")


def _insert(database: Database, table: Table, rows: Rows) -> None:
    names = [column.name for column in table.columns]
    statement = str(insert(table).compile(dialect=database.engine.dialect))
    assert statement.count("?") == len(names)
    while batch := [row for row, _ in zip(rows, range(BATCH), strict=False)]:
        with database.writing() as connection:
            connection.exec_driver_sql(statement, batch)


def _copy(database: Database, table: Table, rows: Rows) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    with database.writing() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)


def judge(place: str, assets: int) -> dict[str, Any]:
    """In this process: seconds, megabytes, and by which indexes."""
    database = open_catalog(place, "bench", make=False)
    before = _peak_mib()
    with database.reading() as connection:
        begun = time.perf_counter()
        standings = stand_all(connection, NOW)
        all_s = time.perf_counter() - begun
        ones = []
        for number in range(0, assets, max(1, assets // 50)):
            begun = time.perf_counter()
            asset_known(connection, f"asset{number:05d}", NOW)
            ones.append(time.perf_counter() - begun)
        states: dict[str, int] = {}
        for one in standings:
            states[one.rpo.state.value] = states.get(one.rpo.state.value, 0) + 1
        query = str(
            newest_proofs(NOW - 30 * DAY, None).compile(database.engine, compile_kwargs={"literal_binds": True})
        )
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        plan = [str(row[-1]) for row in connection.execute(text(explain + query.replace(":", r"\:")))]
    database.close()
    return {
        "objectives": len(standings),
        "all_s": round(all_s, 3),
        "rpo_states": states,
        "one_asset_ms_median": round(1000 * statistics.median(ones), 2),
        "one_asset_ms_max": round(1000 * max(ones), 2),
        "memory_mib_before": round(before),
        "memory_mib_peak": round(_peak_mib()),
        "query_plan": plan,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(place: str, data: MadeUp, environment: dict[str, str]) -> dict[str, Any]:
    """Fill, then ask from another process."""
    begun = time.perf_counter()
    database = open_catalog(place, "bench")
    fill(database, data)
    size = database.path.stat().st_size if database.path else _size(database)
    database.close()
    filled = time.perf_counter() - begun
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.catalog", "--judge", place, "--assets", str(data.assets)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    return {"fill_s": round(filled, 1), "database_mib": round(size / (1 << 20))} | json.loads(done.stdout)


def _size(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--snapshots", type=int, default=1_000_000)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--on", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--judge", metavar="PLACE", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.judge:
        print(json.dumps(judge(given.judge, given.assets)))
        return
    data = MadeUp(given.assets, given.snapshots, given.sites)
    found: dict[str, Any] = {"assets": data.assets, "snapshots": data.assets * data.each, "sites": data.sites}
    with tempfile.TemporaryDirectory() as folder:
        if "sqlite" in given.on:
            found["sqlite"] = measure(str(Path(folder) / "catalog.sqlite"), data, {})
        if "postgresql" in given.on:
            with PostgresServer(Path(folder) / "postgres", settings={"shared_buffers": "256MB"}) as server:
                os.environ.update(server.environment)
                found["postgresql"] = measure(server.new_database(), data, server.environment)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
