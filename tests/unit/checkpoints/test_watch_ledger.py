"""The state file: survives a restart, and its loss costs only another save."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.checkpoints.candidates import Candidate, FileStamp, Marker
from holdfast.checkpoints.ledger import Ledger
from holdfast.errors import FailedError

ONE = Candidate(Path("/run/step-1"), 1, "torchtitan", True, "", (FileStamp("__0_0.distcp", 10, 20),))


def with_data(size: int, *, metadata_time: int, vouches: str) -> Candidate:
    files = (FileStamp("__0_0.distcp", size, 20), FileStamp(".metadata", 5, metadata_time))
    return replace(ONE, files=files, marker=Marker(".metadata", 5, metadata_time, vouches))


def test_what_was_recorded_is_known_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "watch.json"
    ledger = Ledger(path)
    assert (ledger.problem, ledger.holds("step-1", ONE)) == ("", False)
    ledger.record("step-1", ONE, 10**18)
    reopened = Ledger(path)
    assert reopened.problem == ""
    assert reopened.holds("step-1", ONE)
    assert not reopened.holds("step-2", ONE)
    assert not reopened.holds("step-1", replace(ONE, files=(FileStamp("__0_0.distcp", 10, 21),)))
    assert json.loads(path.read_bytes())["protected"]["step-1"]["time"] == "2001-09-09T01:46:40.000Z"
    assert os.listdir(path.parent) == ["watch.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b'{"format": 1}',
        b'{"format": "1", "protected": {}}',
        b'{"format": 1, "protected": {"a": {"fingerprint": 5, "time": ""}}}',
        b'{"format": 2, "protected": {}}',
        b'{"format": 1, "protected": ' + b"[" * 100_000,
    ],
)
def test_a_damaged_state_file_is_reported_and_begun_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    path.write_bytes(content)
    ledger = Ledger(path)
    assert str(path) in ledger.problem
    assert ledger.problem.endswith("starting anew")
    assert not ledger.holds("step-1", ONE)
    ledger.record("step-1", ONE, 0)
    assert Ledger(path).holds("step-1", ONE)


def test_an_unreadable_state_file_is_reported(tmp_path: Path) -> None:
    assert "cannot be read" in Ledger(tmp_path).problem  # it is a folder


def test_a_state_that_cannot_be_written_is_an_error_and_still_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ledger = Ledger(tmp_path / "file" / "watch.json")
    with pytest.raises(FailedError, match="cannot be written"):
        ledger.record("step-1", ONE, 0)
    assert ledger.holds("step-1", ONE)


def test_a_failed_write_leaves_the_old_state_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "watch.json"
    ledger = Ledger(path)
    ledger.record("step-1", ONE, 0)
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FailedError, match="No space left"):
        ledger.record("step-2", ONE, 0)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["watch.json"]


def test_data_that_changed_under_an_unchanged_marker_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    Ledger(path).record("step-1", with_data(10, metadata_time=30, vouches="aa"), 0)
    ledger = Ledger(path)
    assert not ledger.is_torn("step-1", with_data(10, metadata_time=30, vouches="aa"))
    assert ledger.is_torn("step-1", with_data(11, metadata_time=30, vouches="bb"))
    assert not ledger.is_torn("step-1", with_data(11, metadata_time=31, vouches="bb"))
    assert not ledger.is_torn("step-9", with_data(11, metadata_time=30, vouches="bb"))
    assert not ledger.is_torn("step-1", with_data(11, metadata_time=30, vouches=""))


def test_the_oldest_entries_are_dropped_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.checkpoints.ledger.ENTRIES_MAX", 3)
    ledger = Ledger(tmp_path / "watch.json")
    for key in ("a", "b", "c", "a", "d"):
        ledger.record(key, ONE, 0)
    assert {key for key in "abcd" if ledger.holds(key, ONE)} == {"a", "c", "d"}


def test_what_a_vault_that_was_set_back_has_lost_is_forgotten(tmp_path: Path) -> None:
    """And what was dropped from it on purpose is not."""
    path = tmp_path / "watch.json"
    ledger = Ledger(path)
    for key in "abcd":
        ledger.record(key, ONE, 0, f"snapshot-{key}")
    assert Ledger(path).forget_lost({"snapshot-b", "snapshot-c", "snapshot-d"}) == []
    reopened = Ledger(path)
    assert reopened.forget_lost({"snapshot-b"}) == ["c", "d"]
    assert {key for key in "abcd" if reopened.holds(key, ONE)} == {"a", "b"}
    assert Ledger(path).forget_lost(set()) == ["a", "b", "c", "d"]


def test_entries_of_older_versions_are_believed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "watch.json")
    ledger.record("step-1", ONE, 0)
    assert ledger.forget_lost(set()) == []
    assert ledger.holds("step-1", ONE)
