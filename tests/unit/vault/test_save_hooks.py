"""Metrics and checks that come with a save, and references that never lead to what was set aside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.testing.workspace import NoteTaker, TrialVault
from holdfast.vault.format.records import Finding
from holdfast.vault.saving import hooks
from holdfast.vault.saving.hooks import SaveView
from holdfast.vault.snapshots.quarantine import set_aside
from holdfast.vault.snapshots.refs import move_ref

A = np.arange(1, 129, dtype="f4")


def save(trial: TrialVault, values: Any = A, **options: Any) -> Any:
    trial.clock.sleep(60)
    return trial.open().save("llama", {"weights": {"a": values}}, **options)


def checks_of(report: Any) -> list[str]:
    return [one.check for one in report.root.validation.findings]


def test_metrics_are_kept_and_watched(trial: TrialVault) -> None:
    for loss in (3.0, 2.5, 2.2, 2.0, 1.9, 1.85):
        assert checks_of(save(trial, metrics={"loss": loss, "lr": 1e-4})) == []
    bad = save(trial, metrics={"loss": np.float32(7.5)})
    assert checks_of(bad) == ["metric-outlier"] and not bad.validated
    assert trial.open().find("llama").meta == {"metric.loss": "7.5"}
    assert "metric-outlier" in bad.root.validation.checks
    with pytest.raises(RefusedError, match="it is nan"):
        save(trial, metrics={"loss": math.nan}, policy="refuse")


@pytest.mark.parametrize("metrics", [{"a b": 1}, {"": 1}, {5: 1}, {"a": "1"}, {"a": True}, {"a": None}, {"a": 1j}, [1]])
def test_metrics_are_names_and_numbers(trial: TrialVault, metrics: Any) -> None:
    with pytest.raises(UsageError):
        save(trial, metrics=metrics)


def test_a_metric_is_not_given_twice(trial: TrialVault) -> None:
    with pytest.raises(UsageError, match=r"metric\.loss"):
        save(trial, metrics={"loss": 1.0}, metadata={"metric.loss": "2"})


def largest_is_small(view: SaveView) -> Iterable[Finding]:
    for file in view.files.values():
        for tensor in file.tensors.values():
            if tensor.greatest is not None and tensor.greatest > 200:
                before = view.parent_files[file.path].tensors[tensor.name].greatest
                yield Finding("too-large", tensor.name, f"{before} -> {tensor.greatest} at {view.metrics['loss']}")


def test_a_check_of_the_users_own(trial: TrialVault) -> None:
    options = {"checks": [largest_is_small], "metrics": {"loss": 1.5}}
    good = save(trial, **options)
    assert good.validated and good.root.validation.checks[-1] == "largest_is_small"
    bad = save(trial, A * 2, **options)
    [found] = bad.root.validation.findings
    assert found == Finding("too-large", "a", "128.0 -> 256.0 at 1.5") and not bad.validated


def broken(view: SaveView) -> Iterable[Finding]:
    raise ZeroDivisionError("no\udcffpe")


def careless(view: SaveView) -> Any:
    return ["not a finding"]


def meddling(view: SaveView) -> None:
    view.files.clear()  # type: ignore[attr-defined] # that is the point


@pytest.mark.parametrize("check", [broken, careless, meddling])
def test_a_check_that_fails_is_a_finding_and_never_a_failed_save(trial: TrialVault, check: Any) -> None:
    report = save(trial, checks=[check])
    [found] = report.root.validation.findings
    assert (found.check, found.where) == ("check-failed", check.__name__) and "the check raised" in found.message
    assert not report.validated and report.latest
    assert trial.open().find("llama").validation == report.root.validation


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it cannot even say what it is")


def speechless(view: SaveView) -> None:
    raise Speechless


def leaving(view: SaveView) -> None:
    raise SystemExit(3)


class Nameless:
    """Like a mock that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, view: SaveView) -> None:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("check", "told"),
    [(speechless, "raised Speechless"), (leaving, "raised SystemExit: 3"), (Nameless(), "raised ValueError: no")],
    ids=["speechless", "leaving", "nameless"],
)
def test_a_check_that_fails_badly_does_not_cost_the_snapshot(trial: TrialVault, check: Any, told: str) -> None:
    [found] = save(trial, checks=[check]).root.validation.findings
    assert found.check == "check-failed" and told in found.message


@pytest.mark.parametrize("checks", ["text", [5], 7])
def test_checks_are_functions(trial: TrialVault, checks: Any) -> None:
    with pytest.raises(UsageError, match="functions"):
        save(trial, checks=checks)


def test_installed_checks_run_by_themselves(trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_mine.py").write_text(
        "from holdfast.vault.format.records import Finding\n"
        "def look(view):\n    return [Finding('mine', view.asset, 'seen')]\n"
    )
    info = tmp_path / "plugin_of_mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-mine\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[holdfast.validation]\nmine = plugin_of_mine:look\ngone = no_such_module:look\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    hooks._installed.cache_clear()
    try:
        found = save(trial).root.validation.findings
    finally:
        hooks._installed.cache_clear()
    assert Finding("mine", "llama", "seen") in found
    assert [(one.check, one.where) for one in found] == [("check-failed", "gone"), ("mine", "llama")]


@pytest.mark.parametrize("name", ["validated", "latest"])
def test_no_pointer_resolves_to_what_was_set_aside_wherever_it_points(
    trial: TrialVault, make_snapshot: Any, name: str
) -> None:
    """Whoever raced, or knows no marks, may have moved it there."""
    good, bad = make_snapshot(), make_snapshot()
    handle = trial.open().handle
    set_aside(handle, "llama", bad.id, "diverged")
    move_ref(handle, "llama", name, bad.id, "by an older program")
    notes = NoteTaker()
    assert trial.open(progress=notes).find(f"llama@{name}").id == good.id
    assert any(bad.id in note and "set aside" in note for note in notes.notes)
    assert trial.open().find(bad.id).id == bad.id


def test_neither_do_a_step_a_time_or_the_asset_alone(trial: TrialVault, make_snapshot: Any, clock: ManualClock) -> None:
    good, bad = make_snapshot(step=1), make_snapshot(step=1)
    only = make_snapshot("other", step=7)
    vault = trial.open()
    vault.quarantine(bad.id, "diverged")
    vault.quarantine(only.id, "diverged")
    assert vault.find("llama@step=1").id == vault.find("llama").id == vault.find("llama@2099-01-01").id == good.id
    for reference in ("other", "other@step=7", "other@validated", "other@latest"):
        with pytest.raises(NotFoundError):
            trial.open().find(reference)
    assert make_snapshot("llama").parents == [good.id], "nobody is compared with it"
    vault.release(only.id)
    assert trial.open().find("other").id == only.id


def test_marks_hold_nothing(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    bad = make_snapshot()
    vault = trial.open()
    vault.quarantine(bad.id, "diverged")
    assert set(vault.quarantined("llama")) == {bad.id}
    vault.apply_drop(vault.plan_drop(bad.id))


def test_a_whole_restore_is_noted_and_a_part_is_not(trial: TrialVault, make_snapshot: Any, tmp_path: Path) -> None:
    good, bad = make_snapshot(), make_snapshot()
    for number in range(5):
        trial.open().restore("llama@validated", tmp_path / f"part-{number}", only="*")
    notes = NoteTaker()
    places = []
    for _ in range(4):
        trial.clock.sleep(1200)
        done = trial.open(progress=notes).restore("llama@validated", tmp_path / "again", overwrite=True)
        places.append(done.root.id)
    assert places == [bad.id, bad.id, bad.id, good.id]
    assert any("restored 3 times" in note for note in notes.notes)


def test_rehearsals_demote_nothing(trial: TrialVault, make_snapshot: Any, tmp_path: Path) -> None:
    make_snapshot()
    good = make_snapshot()
    for number in range(5):
        trial.clock.sleep(3600)
        trial.open().restore("llama@validated", tmp_path / f"drill-{number}", rehearsal=True)
    assert trial.open().find("llama@validated") == good and trial.open().quarantined("llama") == {}
