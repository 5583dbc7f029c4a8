"""The queue's database over versions: brought up to date with what it holds, a newer one refused and left alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.working.opening import open_queue
from holdfast.control.working.schedules import known_schedules
from holdfast.control.working.tables import VERSION
from holdfast.errors import UnsupportedFormatError

# As version 1 made its own tables (before receivers of webhooks).
_FIRST = """
CREATE TABLE holdfast_work (id INTEGER NOT NULL, version INTEGER NOT NULL, organisation VARCHAR(200) NOT NULL,
  PRIMARY KEY (id));
CREATE TABLE holdfast_workers (name VARCHAR(200) NOT NULL, host VARCHAR(200) NOT NULL, machine VARCHAR(200) NOT NULL,
  process VARCHAR(200) NOT NULL, pid INTEGER NOT NULL, slots INTEGER NOT NULL, started_ns BIGINT NOT NULL,
  beat_ns BIGINT NOT NULL, beats BIGINT NOT NULL, leaving BOOLEAN NOT NULL, PRIMARY KEY (name));
CREATE TABLE holdfast_schedules (name VARCHAR(300) NOT NULL, since_ns BIGINT NOT NULL, seed VARCHAR(64) NOT NULL,
  PRIMARY KEY (name));
CREATE TABLE holdfast_schedule_periods (name VARCHAR(300) NOT NULL, period BIGINT NOT NULL, at_ns BIGINT NOT NULL,
  every_s DOUBLE NOT NULL, PRIMARY KEY (name, period));
INSERT INTO holdfast_work VALUES (1, 1, 'acme');
INSERT INTO holdfast_schedules VALUES ('catalog.update/900s', 1000, '00');
INSERT INTO holdfast_schedule_periods VALUES ('catalog.update/900s', 7, 12345, 900.0);
"""


@pytest.fixture
def sites(tmp_path: Path) -> DeclaredSites:
    site = {"cloud": "onprem", "region": "a", "jurisdiction": "EU", "stores": {"warm": {"url": str(tmp_path / "a")}}}
    asset = {"class": "development", "place": {"synchronous": ["a"]}}
    file = {"version": 1, "organisation": "acme", "sites": {"a": site}, "assets": {"model": asset}}
    (tmp_path / "holdfast.yaml").write_text(json.dumps(file))
    environment = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "STATE", "CACHE")}
    return DeclaredSites(load_config(tmp_path / "holdfast.yaml", environment), environment)


def test_a_queue_of_the_first_version_is_brought_up_to_date(sites: DeclaredSites, tmp_path: Path) -> None:
    path = tmp_path / "STATE/holdfast/work/acme.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_FIRST).close()
    with closing(open_queue(sites)) as queue:
        assert [one.last_ns for one in known_schedules(queue.database, sites)] == [12345], "what it held is there"
        assert queue.hooks(["x"])[0].waiting == 0
        queue.submit("catalog.update", {}, key="k")
    with closing(open_queue(sites)) as queue, closing(sqlite3.connect(path)) as database:
        assert queue.look("k") is not None
        assert database.execute("SELECT version FROM holdfast_work").fetchall() == [(VERSION,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"UPDATE holdfast_work SET version = {VERSION + 1}", "newer Holdfast"),
        ("UPDATE dbos_migrations SET version = 100000", "newer DBOS"),
    ],
)
def test_a_newer_queue_is_refused_and_left_alone(sites: DeclaredSites, tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "STATE/holdfast/work/acme.sqlite"
    open_queue(sites).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change).close()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    before = path.read_bytes()
    with pytest.raises(UnsupportedFormatError, match=said) as refused:
        open_queue(sites, mend=True)
    assert "update Holdfast" in refused.value.hint
    assert path.read_bytes() == before and not list(path.parent.glob("*.damaged*"))
