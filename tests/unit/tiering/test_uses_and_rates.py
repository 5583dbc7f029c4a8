"""Rates that come from use: which statistic, what small reads change, many processes at once, files that are broken."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.control.sites.rates import FRESH_SECONDS, Measurement, RatesFile, typical
from holdfast.control.vaults.uses import KEEP_BYTES, Gave, Read, UsesLog, note_read, used
from holdfast.replication.tiering.facts import NANOSECONDS
from holdfast.stores.memory import MemoryStore
from holdfast.stores.metering import counted, metering
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.records import Root

NOW = 1_800_000_000 * NANOSECONDS
MIB = 1 << 20
DAY = 86_400 * NANOSECONDS


def _at(rate: float, size: int, *, days: float = 0.0) -> Measurement:
    return Measurement(bytes=size, seconds=size / rate, at=NOW - round(days * DAY), how="restore")


def test_the_rate_is_the_lower_quartile_by_bytes() -> None:
    assert typical([], NOW) is None
    one = typical([_at(100e6, 64 * MIB)], NOW)
    assert one is not None and one.rate == pytest.approx(100e6)
    # a page cache once, a small read at the latency of the line once: neither is believed
    usual = [_at(100e6 + number, 256 * MIB, days=number) for number in range(1, 8)]
    poisoned = typical([*usual, _at(9e9, 256 * MIB), _at(1e6, 4 * MIB)], NOW)
    assert poisoned is not None and poisoned.rate == pytest.approx(100e6, rel=0.01)
    # a line that got slow is believed as soon as a quarter of the bytes says so
    slow = [_at(10e6, 256 * MIB) for _ in range(3)]
    now_slow = typical([*usual, *slow], NOW)
    assert now_slow is not None and now_slow.rate == pytest.approx(10e6)
    # one restore of a terabyte does not outweigh what was seen since
    tera = typical([_at(5e9, 1 << 40, days=9), *(_at(100e6, 256 * MIB) for _ in range(3))], NOW)
    assert tera is not None and tera.rate == pytest.approx(100e6)


def test_what_is_old_counts_only_where_nothing_else_is_known() -> None:
    old = _at(1e6, 256 * MIB, days=FRESH_SECONDS / 86_400 + 1)
    new = typical([old, _at(100e6, 8 * MIB)], NOW)
    assert new is not None and new.rate == pytest.approx(100e6)
    assert typical([old], NOW) == old  # whoever plans sees how old it is


def test_what_a_clock_that_ran_ahead_dated_counts_for_nothing_and_keeps_no_place(tmp_path: Path) -> None:
    ahead = _at(9e9, 256 * MIB, days=-365)
    assert typical([ahead], NOW) is None
    notes: list[str] = []
    rates = RatesFile("acme", {"XDG_STATE_HOME": str(tmp_path)}, notes.append)
    way = ("use1/hot", "use1")
    for _ in range(40):
        rates.note({way: ahead}, {"llama": ahead})
    assert (rates.rates(["use1/hot"], ["use1"], NOW), rates.verifying(NOW)) == ((), {})
    now = _at(1e6, 256 * MIB)
    rates.note({way: now}, {"llama": now})
    [rate] = rates.rates(["use1/hot"], ["use1"], NOW)
    assert rate.bytes_per_second == rates.verifying(NOW)["llama"] == pytest.approx(1e6)
    assert notes == []


@given(st.lists(st.tuples(st.floats(1e3, 1e10), st.integers(4 * MIB, 1 << 40), st.floats(0, 60)), max_size=60))
def test_the_rate_is_one_of_those_that_were_measured(given_: list[tuple[float, int, float]]) -> None:
    measured = [_at(rate, size, days=days) for rate, size, days in given_]
    found = typical(measured, NOW)
    assert (found is None) == (not measured)
    assert found is None or found.rate in {one.rate for one in measured}


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "holdfast/rates/acme.json"
    path.parent.mkdir(parents=True)
    one = f'{{"bytes": {64 * MIB}, "seconds": 1.0, "at": {NOW}, "how": "copy"}}'
    path.write_text(f'{{"restores": {{"use1/hot": {{"euw4": {one}}}}}, "verifying": {{"llama": {one}}}}}')
    notes: list[str] = []
    file = RatesFile("acme", {"XDG_STATE_HOME": str(tmp_path)}, notes.append)
    (rate,) = file.rates(["use1/hot"], ["euw4"], NOW)
    assert (rate.bytes_per_second, file.verifying(NOW)["llama"]) == (64 * MIB, 64 * MIB)
    file.note({("use1/hot", "euw4"): _at(10e6, 256 * MIB)}, {})
    assert file.rates(["use1/hot"], ["euw4"], NOW)[0].bytes_per_second == pytest.approx(10e6)
    assert not notes


def test_reads_that_overlap_count_once_and_others_are_not_counted() -> None:
    store, other = MemoryStore(name="a"), MemoryStore(name="b")
    counted(store, 5, lambda: b"")  # nobody asks
    with metering() as meter:
        gate = threading.Barrier(2)

        def read() -> None:
            counted(store, 10, lambda: gate.wait(5))

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ZeroDivisionError):
            counted(other, 7, lambda: 1 // 0)
    given_ = meter.given()
    assert given_[store.url].bytes == 20 and given_[other.url].bytes == 0
    with metering() as later:
        pass
    assert later.given() == {}


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


def _environment(tmp_path: Path) -> Mapping[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path), "HOLDFAST_SITE": "euw4"}


def test_small_reads_write_nothing_and_large_ones_a_line(trial: TrialVault, tmp_path: Path) -> None:
    handle = trial.open().handle
    log = UsesLog(tmp_path / "holdfast/uses" / f"{handle.keys.vault.hex()}.jsonl")
    for size in (4 * MIB - 1, 4 * MIB):
        with used(handle, "restore", _environment(tmp_path)):
            counted(handle.store, size, lambda: None)
    (fact,) = log.read()
    assert isinstance(fact, Gave) and (fact.bytes, fact.site, fact.how) == (4 * MIB, "euw4", "restore")
    with pytest.raises(ZeroDivisionError), used(handle, "restore", _environment(tmp_path)):
        counted(handle.store, 8 * MIB, lambda: None)
        raise ZeroDivisionError
    assert len(list(log.read())) == 1  # a restore that failed says nothing


def test_a_file_that_cannot_be_written_fails_no_read(trial: TrialVault, tmp_path: Path) -> None:
    handle = trial.open().handle
    blocked = tmp_path / "holdfast"
    blocked.write_text("a file where a folder should be")
    with used(handle, "restore", _environment(tmp_path)):
        counted(handle.store, 8 * MIB, lambda: None)
    blocked.unlink()
    folder = tmp_path / "holdfast/uses"
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{handle.keys.vault.hex()}.jsonl")  # a pipe that nobody reads: nothing may wait for it
    with used(handle, "restore", _environment(tmp_path)):
        counted(handle.store, 8 * MIB, lambda: None)
    with used(handle, "restore", {"XDG_STATE_HOME": str(tmp_path / "x"), "HOLDFAST_SITE": "\udcff"}):
        counted(handle.store, 8 * MIB, lambda: None)


_WRITER = """
import sys
from pathlib import Path
from holdfast.control.vaults.uses import Read, UsesLog
log = UsesLog(Path(sys.argv[1]))
for number in range(300):
    log.append([Read(at=number, asset="llama", snapshot=sys.argv[2], store="x" * 200)])
"""


def test_many_processes_write_at_once_and_no_line_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "uses.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(path), f"s{number}"]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    found = list(UsesLog(path).read())
    assert len(found) == len(path.read_bytes().splitlines()) == 1200
    assert {one.snapshot for one in found if isinstance(one, Read)} == {"s0", "s1", "s2", "s3"}


def test_the_file_stays_small_and_keeps_the_newest(tmp_path: Path) -> None:
    log = UsesLog(tmp_path / "uses.jsonl")
    for number in range(50):
        log.append([Read(at=number, asset="a" * 100_000, snapshot="s", store="x")])
    assert log.path.stat().st_size <= 2 * KEEP_BYTES + 200_000
    assert [one.at for one in log.read()][-1] == 49
    log.path.write_bytes(b"nonsense\n\xff\n" + log.path.read_bytes()[:-20])  # broken at both ends
    assert [one.at for one in log.read()][-1] == 48


def test_a_process_says_once_an_hour_that_it_reads(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    root = _saved(trial, tmp_path)
    for _ in range(5):
        note_read(vault.handle, root, _environment(tmp_path))
    log = UsesLog(tmp_path / "holdfast/uses" / f"{vault.id}.jsonl")
    assert [type(one).__name__ for one in log.read()] == ["Read"]


def _saved(trial: TrialVault, tmp_path: Path) -> Root:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"x")
    return trial.open().save("llama", source).root
