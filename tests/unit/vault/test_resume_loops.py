"""A run that resumes from one snapshot again and again: when it is a loop, and what becomes of the snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_reader
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.holds import hold_snapshot
from holdfast.vault.snapshots.quarantine import DEMOTED, mark_of
from holdfast.vault.snapshots.refs import RESERVED
from holdfast.vault.snapshots.restores import (
    RESTORED,
    RestoreNote,
    ResumeLoop,
    count_attempts,
    note_restore,
    restores_path,
)

MINUTE = 60 * NANOSECONDS


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    """An encrypted one: only there reading and writing are told apart."""
    return new_trial_vault(MemoryStore(clock), clock=clock)


def resume(trial: TrialVault, clock: ManualClock, root: Root, place: str = "/scratch", **options: Any) -> Any:
    clock.sleep(1800)
    return note_restore(trial.open(**options).handle, root, Path(place))


def validated(trial: TrialVault) -> str:
    return trial.open().tags("llama")["validated"].target


def test_the_third_restore_without_progress_demotes(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    good, bad = make_snapshot(), make_snapshot()
    assert resume(trial, clock, bad) is None and resume(trial, clock, bad) is None
    notes = NoteTaker()
    assert resume(trial, clock, bad, progress=notes) == ResumeLoop(bad.id, 3, good.id)
    assert [note for note in notes.notes if "restored 3 times" in note and good.id in note and bad.id in note]
    ref = trial.open().tags("llama")["validated"]
    assert ref.target == good.id and "restored 3 times without progress" in ref.reason
    assert trial.open().tags("llama")["latest"].target == bad.id, "`latest` stays"
    mark = mark_of(trial.open().handle, "llama", bad.id)
    assert mark is not None and mark.kind == DEMOTED
    assert not trial.open().verify(bad.id).validated, "reading it back does not make it lead anywhere"
    assert validated(trial) == good.id


def test_progress_in_between_starts_counting_anew(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    make_snapshot()
    root = make_snapshot()
    resume(trial, clock, root), resume(trial, clock, root)
    newer = make_snapshot()
    assert resume(trial, clock, root) is None, "validated has gone on"
    assert validated(trial) == newer.id
    trial.open().quarantine(
        newer.id, "diverged"
    )  # back to where it was: the restores before that progress are forgiven
    assert validated(trial) == root.id
    assert resume(trial, clock, root) is None


def test_an_old_snapshot_may_be_looked_at_as_often_as_one_likes(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any
) -> None:
    old, new = make_snapshot(), make_snapshot()
    assert [resume(trial, clock, old) for _ in range(5)] == [None] * 5
    assert validated(trial) == new.id


def test_the_only_good_snapshot_is_not_taken_away(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    only = make_snapshot()
    notes = NoteTaker()
    for _ in range(4):
        resume(trial, clock, only, progress=notes)
    assert validated(trial) == only.id
    assert any("no older good snapshot" in note for note in notes.notes)


def test_what_a_person_tagged_or_holds_is_not_demoted(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any
) -> None:
    """A final model is restored at every start of what serves it."""
    make_snapshot()
    final = make_snapshot(tags=["release"])
    notes = NoteTaker()
    for _ in range(4):
        resume(trial, clock, final, progress=notes)
    assert validated(trial) == final.id and trial.open().quarantined("llama") == {}
    assert any("'release'" in note for note in notes.notes)
    trial.open().untag("llama", "release")
    hold_snapshot(trial.open().handle, final, "served")
    assert resume(trial, clock, final) == ResumeLoop(final.id, 3, "")
    assert validated(trial) == final.id


def test_a_loop_goes_down_step_by_step(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    first, second, third = make_snapshot(), make_snapshot(), make_snapshot()
    for root in (third, second):
        for _ in range(3):
            resume(trial, clock, root)
    assert validated(trial) == first.id
    assert set(trial.open().quarantined("llama")) == {second.id, third.id}


def test_a_reader_notes_it_for_itself_and_says_so(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any, tmp_path: Path
) -> None:
    good, bad = make_snapshot(), make_snapshot()
    reader = admit_reader(trial.open().handle, "job", keep=lambda credential: None)
    notes = NoteTaker()
    for _ in range(3):
        found = resume(trial, clock, bad, credential=reader, progress=notes)
    assert found == ResumeLoop(bad.id, 3, "")
    assert any("this key may not demote" in note and good.id in note for note in notes.notes)
    assert validated(trial) == bad.id
    path = restores_path(trial.open().handle.keys)
    assert path is not None and len(path.read_text().splitlines()) == 3
    with path.open("a") as file:
        file.write('{"asset": "ll')  # a write that was cut off
    assert resume(trial, clock, bad) == ResumeLoop(bad.id, 4, good.id), "the keeper counts what the reader noted here"


def test_restores_of_other_machines_are_counted_from_the_vault(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = make_snapshot(), make_snapshot()
    for machine in range(3):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"machine-{machine}"))
        resume(trial, clock, bad)
    assert validated(trial) == good.id


def test_a_note_that_cannot_be_made_costs_nothing(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_snapshot()
    bad = make_snapshot()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(3):
        found = resume(trial, clock, bad)
    assert isinstance(found, ResumeLoop) and found.attempts == 3


def test_what_is_noted_in_the_vault(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    root = make_snapshot()
    resume(trial, clock, root, "/data/run-7")
    from holdfast.vault.snapshots.refs import read_newest_ref

    ref = read_newest_ref(trial.open().handle, "llama", RESTORED)
    assert ref is not None and ref.target == root.id and ref.reason.endswith(":/data/run-7")
    assert RESTORED.startswith(RESERVED)


def notes(*restores: tuple[str, int]) -> list[RestoreNote]:
    return [RestoreNote("a", "s", place, minutes * MINUTE) for place, minutes in restores]


def test_many_nodes_that_start_together_are_one_attempt() -> None:
    together = notes(*((f"node-{number}:/scratch", number % 5) for number in range(64)))
    assert count_attempts(together) == 1
    again = notes(*((f"node-{number}:/scratch", 30 + number % 5) for number in range(64)))
    assert count_attempts([*again, *together]) == 2


def test_one_place_twice_is_two_attempts_however_soon() -> None:
    assert count_attempts(notes(("a:/x", 0), ("a:/x", 1), ("a:/x", 2))) == 3
    assert count_attempts(notes(("a:/x", 0), ("b:/x", 1), ("b:/x", 2), ("a:/x", 3))) == 2
    assert count_attempts(notes(("pod-1:/x", 0), ("pod-2:/x", 15), ("pod-3:/x", 30))) == 3
    assert count_attempts([]) == 0


def test_the_local_file_does_not_grow_for_ever(
    trial: TrialVault, clock: ManualClock, make_snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.vault.snapshots import restores

    root = make_snapshot()
    monkeypatch.setattr(restores, "_FILE_MAX", 2000)
    for _ in range(40):
        resume(trial, clock, root)
    path = restores_path(trial.open().handle.keys)
    assert path is not None and 0 < path.stat().st_size < 2500
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_hold_that_has_ended_holds_nothing(trial: TrialVault, clock: ManualClock, make_snapshot: Any) -> None:
    good, looping = make_snapshot(), make_snapshot()
    trial.open().hold(looping.id, "until tonight", until_ns=clock.now_ns() + 600 * 10**9)
    for _ in range(3):
        resume(trial, clock, looping)
    assert validated(trial) == good.id
