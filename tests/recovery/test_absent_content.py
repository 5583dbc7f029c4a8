"""Findings about what is not there: files, bytes, the targets of links; and content that claims to be of tomorrow."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.ids import SnapshotId
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_writer
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.records import Root, encode_record
from holdfast.vault.vault import SaveReport


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore(), encrypted=False)


def found(report: SaveReport) -> set[tuple[str, str]]:
    return {(one.check, one.where) for one in report.root.validation.findings}


def write(folder: Path) -> None:
    (folder / "sub").mkdir()
    save_file({"a": np.ones(4, "f4")}, folder / "sub" / "model.safetensors")
    (folder / "state.json").write_text("{}")
    (folder / "log").touch()


@pytest.mark.parametrize("name", ["sub/model.safetensors", "state.json"])
def test_a_file_that_is_gone(trial: TrialVault, source: Path, name: str) -> None:
    write(source)
    good = trial.open().save("run", source).root.id
    (source / "log").unlink()  # it was empty: nothing is lost with it
    (source / name).unlink()
    report = trial.open().save("run", source)
    assert found(report) == {("missing-file", name)} and not report.validated and report.latest
    assert trial.open().find("run@validated").id == good
    assert not found(trial.open().save("run", source)), "wanted or not, it is the new normal now"


def test_a_component_that_is_gone(trial: TrialVault) -> None:
    trial.open().save("run", {"model": {"a": np.ones(3)}, "optimizer": {"b": np.ones(3)}})
    report = trial.open().save("run", {"model": {"a": np.ones(3)}})
    assert found(report) == {("missing-file", "optimizer.safetensors")} and not report.validated


def test_an_empty_folder(trial: TrialVault, source: Path) -> None:
    report = trial.open().save("run", source)
    assert found(report) == {("empty-snapshot", "")} and not report.validated


def test_a_folder_of_which_all_files_became_empty(trial: TrialVault, source: Path) -> None:
    (source / "a").write_bytes(b"x")
    assert trial.open().save("run", source).validated
    (source / "a").write_bytes(b"")
    report = trial.open().save("run", source)
    assert found(report) == {("empty-snapshot", "")} and not report.validated


def test_a_folder_of_which_all_files_were_always_empty(trial: TrialVault, source: Path) -> None:
    (source / "done").touch()
    assert trial.open().save("run", source).validated


def test_a_single_file_is_compared_under_any_name(trial: TrialVault, tmp_path: Path) -> None:
    """`step-1.safetensors`, `step-2.safetensors`: the same asset, so deltas and checks go on."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(300, 256)).astype("f4")
    save_file({"a": weights}, tmp_path / "step-1.safetensors")
    trial.open().save("run", tmp_path / "step-1.safetensors")
    weights *= 1 + 1e-5 * rng.normal(size=weights.shape).astype("f4")
    save_file({"a": weights}, tmp_path / "step-2.safetensors")
    second = trial.open().save("run", tmp_path / "step-2.safetensors")
    assert second.validated and second.root.stats["raw_delta"] >= 300_000
    save_file({"b": weights}, tmp_path / "step-3.safetensors")
    third = trial.open().save("run", tmp_path / "step-3.safetensors")
    assert {check for check, _ in found(third)} == {"missing-tensor"}


LINKS: dict[str, tuple[str, str]] = {
    "absolute": ("sub/link", "/etc/hostname"),
    "out of the tree": ("sub/link", "../../elsewhere"),
    "out, and in again": ("sub/link", "../../source/state.json"),
    "to nothing": ("sub/link", "absent"),
    "below a file that is not there": ("link", "sub/absent/x"),
    "to itself": ("link", "link"),
    "through a link that leads out": ("link", "out/x"),
}


@pytest.mark.parametrize("case", LINKS)
def test_a_link_that_cannot_be_followed_after_a_restore(trial: TrialVault, source: Path, case: str) -> None:
    name, target = LINKS[case]
    write(source)
    (source / "out").symlink_to(".." if "through" in case else "sub")
    (source.parent / "elsewhere").write_text("x")
    (source / name).symlink_to(target)
    report = trial.open().save("run", source)
    assert ("outside-link", name) in found(report) and not report.validated
    [finding] = [one for one in report.root.validation.findings if one.where == name]
    assert target in finding.message


@pytest.mark.parametrize(
    "target", ["state.json", "./sub/model.safetensors", "sub/../log", "sub", "sub/", "chain", "sub/up/state.json", "."]
)
def test_a_link_inside_is_no_finding(trial: TrialVault, source: Path, target: str) -> None:
    write(source)
    (source / "chain").symlink_to("sub/../state.json")
    (source / "sub" / "up").symlink_to("..")
    (source / "link").symlink_to(target)
    assert trial.open().save("run", source, policy="refuse").validated


def date(folder: Path, name: str, seconds_ahead: int) -> None:
    (folder / name).write_bytes(name.encode())
    moment = time.time_ns() + seconds_ahead * 10**9
    for path in (folder / name, folder):
        os.utime(path, ns=(moment, moment))


def test_a_file_of_tomorrow_does_not_hold_latest(trial: TrialVault, source: Path) -> None:
    date(source, "a", 86_400)
    notes = NoteTaker()
    first = trial.open(progress=notes).save("run", source)
    assert first.root.content == first.root.created and any("future" in note for note in notes.notes)
    date(source, "a", 0)
    second = trial.open().save("run", source)
    assert second.latest and second.validated
    assert trial.open().find("run").id == second.root.id


def with_content(trial: TrialVault, root: Root, content: int) -> None:
    """As an older Holdfast, or another program with a writer's key, may have written it."""
    handle = trial.open().handle
    key = handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
    record = encode_record(msgspec.structs.replace(root, content=content))
    trial.store.put(key, write_document(handle.keys, Kind.ROOT, key, record))


@pytest.mark.parametrize("ahead,holds", [(60 * 10**9, True), (3600 * 10**9, False)], ids=["a minute", "an hour"])
def test_a_snapshot_of_tomorrow_does_not_hold_latest(trial: TrialVault, source: Path, ahead: int, holds: bool) -> None:
    """Clocks differ a little; by more than minutes nobody's content is newer than its snapshot."""
    (source / "a").write_bytes(b"1")
    first = trial.open().save("run", source).root
    with_content(trial, first, first.created + ahead)
    (source / "a").write_bytes(b"2")
    assert trial.open().save("run", source).latest is not holds


def test_a_writer_moves_validated_only_with_latest(trial: TrialVault, tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore())
    writer: Credential = admit_writer(trial.open().handle, "machine")
    (tmp_path / "old").write_bytes(b"old")
    os.utime(tmp_path / "old", ns=(1, 10**18))
    (tmp_path / "new").write_bytes(b"new")
    newest = trial.open(writer).save("run", tmp_path / "new").root.id
    late = trial.open(writer).save("run", tmp_path / "old")
    assert not late.latest and not late.validated
    assert trial.open().find("run@validated").id == newest
