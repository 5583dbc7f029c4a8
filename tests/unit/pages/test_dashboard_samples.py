"""How assets stood before: damaged, foreign and locked files cost the past, never a page."""

from __future__ import annotations

import json
import sqlite3
import zlib
from pathlib import Path

import pytest

from holdfast.control.service.reading.samples import EVERY_NS, KEPT_NS, Sample, Samples, changed
from holdfast.objectives.standing import State

_AT = 1_790_000_000 * 10**9


def _sample(at: int, **states: State) -> Sample:
    return Sample.of(at, [(name, state, 5.0) for name, state in states.items()])


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "standings" / "acme.sqlite"
    samples = Samples(path)
    samples.add(Sample.of(_AT, [("a", State.MET, 1.5), ("b", State.NOT_MEASURED, None)]))
    samples.add(_sample(_AT + EVERY_NS, a=State.BREACHED))
    again = Samples(path)
    assert [one.at for one in again.all()] == [_AT, _AT + EVERY_NS]
    assert list(again.series("b")) == [(_AT, None)]
    assert list(again.series("a")) == [(_AT, 1.5), (_AT + EVERY_NS, 5.0)]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_gives_way_to_a_new_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "acme.sqlite"
    path.write_bytes(content)
    samples = Samples(path)
    assert samples.all() == []
    samples.add(_sample(_AT, a=State.MET))
    assert [one.at for one in Samples(path).all()] == [_AT]


def test_a_file_that_nobody_can_write_costs_only_the_past(tmp_path: Path) -> None:
    folder = tmp_path / "acme.sqlite"
    folder.mkdir()
    samples = Samples(folder)
    samples.add(_sample(_AT, a=State.MET))
    assert [one.at for one in samples.all()] == [_AT]


def test_a_locked_file_costs_only_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "acme.sqlite"
    Samples(path).add(_sample(_AT, a=State.MET))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda place, timeout=0: connect(place, timeout=0.01))
    holder = connect(path)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        samples = Samples(path)
        assert samples.all() == []
        samples.add(_sample(_AT + EVERY_NS, a=State.MET))
        assert len(samples.all()) == 1
    finally:
        holder.close()
    assert [one.at for one in Samples(path).all()] == [_AT]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no JSON"),
        zlib.compress(b"[" * 200_000),
        zlib.compress(json.dumps([["a"], [99], [1.0]]).encode()),
        zlib.compress(json.dumps([["a"], [0], []]).encode()),
        zlib.compress(json.dumps([["a"], [0], ["x"]]).encode()),
        zlib.compress(b'[["a"], [0], [Infinity]]'),
        zlib.compress(json.dumps([["a", "a"], [0, 1], [1.0, 2.0]]).encode()),
        zlib.compress(json.dumps({"a": 1}).encode()),
    ],
)
def test_bytes_that_are_no_sample_are_passed_over(body: bytes) -> None:
    assert Sample.unpacked(_AT, body) is None


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.control.service.reading.samples._BODY_MAX", 1 << 16)
    assert Sample.unpacked(_AT, zlib.compress(b" " * (1 << 20) + b"[[],[],[]]")) is None


def test_a_clock_that_went_back_begins_anew() -> None:
    samples = Samples(None)
    samples.add(_sample(_AT, a=State.MET))
    assert samples.is_due(_AT - 1)
    samples.add(_sample(_AT - 1, a=State.MET))
    assert [one.at for one in samples.all()] == [_AT - 1]


def test_what_is_older_than_a_day_goes() -> None:
    samples = Samples(None)
    for at in range(_AT, _AT + KEPT_NS + 3 * EVERY_NS, EVERY_NS):
        assert samples.is_due(at)
        samples.add(_sample(at, a=State.MET))
    last = samples.all()[-1].at
    assert samples.all()[0].at == last - KEPT_NS
    before = samples.day_before(last)
    assert before is not None and before.at == last - 86_400 * 10**9


def test_nothing_older_is_said_to_have_changed_since_now() -> None:
    samples = Samples(None)
    samples.add(_sample(_AT, a=State.MET))
    assert samples.day_before(_AT + 30 * 10**9) is None


def test_changes_name_what_came_and_what_went() -> None:
    before = _sample(_AT, kept=State.MET, worse=State.MET, gone=State.AT_RISK)
    found = changed(before, {"kept": State.MET, "worse": State.BREACHED, "new": State.NOT_MEASURED})
    assert sorted(found, key=str) == sorted(
        [("worse", State.MET, State.BREACHED), ("new", None, State.NOT_MEASURED), ("gone", State.AT_RISK, None)],
        key=str,
    )
