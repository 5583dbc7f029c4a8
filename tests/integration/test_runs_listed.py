"""Runs are found among whatever else lies below `runs/`: names that no journal has hide none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.incident_world import World

from holdfast.control.recovering import listing
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.journals import runs_written
from holdfast.control.recovering.listing import RunsAt, next_name
from holdfast.control.recovering.recovering import Recoveries
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo

_REAL = ("0" * 20, "8" + "0" * 19, "f" * 20)


class _Counting(MemoryStore):
    asked = listed = 0

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self.asked += 1
        for one in super().list(prefix, after):
            self.listed += 1
            yield one


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("", f"{'0' * 20}/{'0' * 10}"),
        ("!", f"{'0' * 20}/{'0' * 10}"),
        ("00", f"{'0' * 20}/{'0' * 10}"),
        ("0g", f"1{'0' * 19}/{'0' * 10}"),
        (f"{'0' * 20}/{'0' * 10}", f"{'0' * 20}/{'0' * 9}1"),
        (f"{'0' * 20}/{'0' * 10}/x", f"{'0' * 20}/{'0' * 9}1"),
        (f"{'0' * 20}/{'9' * 10}", f"{'0' * 19}1/{'0' * 10}"),
        (f"{'0' * 20}-", f"{'0' * 20}/{'0' * 10}"),
        (f"{'0' * 19}9x", f"{'0' * 19}a/{'0' * 10}"),
        (f"{'0' * 20}/without/1", f"{'0' * 19}1/{'0' * 10}"),
        (f"{'f' * 20}/{'9' * 10}", ""),
        ("junk", ""),
        ("Junk", f"a{'0' * 19}/{'0' * 10}"),
    ],
)
def test_the_next_name_that_could_be_an_entry(name: str, wanted: str) -> None:
    assert next_name(name) == wanted
    assert not wanted or wanted > name


def test_junk_before_between_and_in_runs_hides_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_IN_A_ROW", 100)
    store = _Counting()
    for number in range(3000):
        for name in (f"-{number}", f"{'0' * 19}/{number}", f"{_REAL[1]}/{'0' * 9}x{number}", f"{_REAL[1]}-{number}"):
            store.put(f"runs/{name}", b"")
    store.put(f"runs/{'3' * 20}/nothing", b"")
    newest = 0
    for run in _REAL:
        store.put(f"runs/{run}/{'0' * 10}", b"")
        newest = store.put(f"runs/{run}/{'0' * 9}1", b"").modified_ns
    at = RunsAt(store)
    at.read()
    assert sorted(at.found) == list(_REAL) and at.found[_REAL[2]] == newest and not at.is_cut
    assert store.listed < 1000 and store.asked < 10, "it was jumped over"


def test_what_is_too_much_is_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LISTED_MAX", 50)
    monkeypatch.setattr(listing, "_OF_A_RUN", 20)
    store = MemoryStore()
    for number in range(40):
        store.put(f"runs/{_REAL[0]}/{number:010d}", b"")
    store.put(f"runs/{_REAL[1]}/{0:010d}", b"")
    at = RunsAt(store)
    at.read()
    assert sorted(at.found) == list(_REAL[:2]) and not at.is_cut, "one that says too much is gone past"
    for number in range(60):
        store.put(f"runs/{'1' * 18}{number:02d}/{0:010d}", b"")
    at = RunsAt(store)
    at.read()
    assert at.is_cut and len(at.found) == 31
    at = RunsAt(store)
    at.gone = True
    at.read()
    assert not at.found


def test_a_run_is_seen_behind_twelve_thousand_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.declare(recoveries={"away": {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["second"]}})
    sites = world.machine("keeper")
    for site in ("home", "second", "third"):  # somebody who may only add
        for folder in ("-0", "-1", "0-"):
            (tmp_path / site / "runs" / folder).mkdir(parents=True)
            for number in range(4000):
                os.mknod(tmp_path / site / "runs" / folder / f"{number}")
    recoveries = Recoveries(sites)
    file = recoveries.plan(Wanted("away", isolated=True, target=str(tmp_path / "back")))
    recoveries.submit(file, str(tmp_path / "back"))
    assert list(runs_written(sites)) == [file.run]
    said: list[str] = []
    monkeypatch.setattr(listing, "_LISTED_MAX", 1)
    assert list(runs_written(sites, said.append)) in ([], [file.run])
    assert said and all("not all of it was listed" in one for one in said)
