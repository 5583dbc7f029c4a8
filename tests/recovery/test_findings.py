"""What validation finds, and what each policy makes of it: nothing doubtful ever becomes `validated`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.errors import DamageError, NotFoundError, RefusedError, StoreUnreachableError, UsageError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import Flip, contents_of
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, pointers_resolve, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.snapshots.refs import read_history

Tensors = dict[str, np.ndarray[Any, np.dtype[Any]]]


def tensors(seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        "embed": rng.normal(size=(64, 32)).astype("f4"),
        "head": rng.normal(size=(32, 64)).astype("f2"),
        "steps": np.arange(100),
    }


def write(folder: Path, state: Tensors) -> None:
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")


def with_values(name: str, value: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        state = tensors(2)
        state[name][3, 5] = value
        write(folder, state)

    return spoil


def changed(change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        state = tensors(2)
        change(state)
        write(folder, state)

    return spoil


def cut_to(size: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write(folder, tensors(2))
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:size])

    return spoil


FINDINGS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a NaN": ("non-finite", with_values("embed", np.nan)),
    "an infinity": ("non-finite", with_values("embed", np.inf)),
    "a NaN of 16 bits": ("non-finite", with_values("head", np.nan)),
    "another shape": ("shape", changed(lambda state: state.update(embed=state["embed"][:60]))),
    "another dtype": ("dtype", changed(lambda state: state.update(embed=state["embed"].astype("f8")))),
    "a tensor less": ("missing-tensor", changed(lambda state: state.pop("head"))),
    "an empty file": ("empty-file", cut_to(0)),
    "a file cut in the data": ("truncated", cut_to(6000)),
    "a file cut in the header": ("truncated", cut_to(40)),
    "weights that exploded": ("norm-jump", changed(lambda state: state.update(embed=state["embed"] * 1e4))),
    "weights that vanished": ("norm-jump", changed(lambda state: state.update(embed=state["embed"] * 1e-4))),
}


@pytest.fixture
def trial(source: Path) -> TrialVault:
    """With one good snapshot."""
    trial = new_trial_vault(MemoryStore())
    write(source, tensors(1))
    assert trial.open().save("model", source, step=1).validated
    return trial


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_and_the_policies(trial: TrialVault, source: Path, tmp_path: Path, finding: str) -> None:
    check, spoil = FINDINGS[finding]
    good = trial.open().find("model").id
    spoil(source)
    before = contents_of(trial.store)

    with pytest.raises(RefusedError, match=r"model\.safetensors") as caught:
        trial.open().save("model", source, policy="refuse")
    assert caught.value.exit_code == 5 and caught.value.hint
    kinds = {key.partition("/")[0] for key in contents_of(trial.store).keys() - before.keys()}
    assert kinds <= {"packs", "index"}, "refused, and yet something was committed"
    assert trial.open().find("model").id == good

    held = trial.open().save("model", source, step=2, policy="quarantine")
    assert held.root.validation.verdict == "quarantined" and held.verified is not None and not held.validated
    assert trial.open().find("model").id == trial.open().find("model@validated").id == good
    with pytest.raises(NotFoundError):
        trial.open().find("model@step=2")
    assert trial.open().find(held.root.id) == held.root

    warned = trial.open().save("model", source, step=3)
    assert warned.root.validation.verdict == "warned" and not warned.validated
    assert trial.open().find("model").id == warned.root.id
    assert trial.open().find("model@validated").id == good
    for report in (held, warned):
        assert check in {one.check for one in report.root.validation.findings}
        assert all("model.safetensors" in one.where and one.message for one in report.root.validation.findings)
    assert warned.root.parents == [good], "a quarantined snapshot is nobody's parent"
    every_snapshot_restores(
        trial.open(), {held.root.id: read_tree(source), warned.root.id: read_tree(source)}, tmp_path
    )
    check_is_clean(trial.open())


def test_what_is_no_finding(trial: TrialVault, source: Path) -> None:
    """More training, a new tensor, a file more, an empty one less: nothing to hold a checkpoint back for."""
    state = tensors(1)
    state["embed"] *= 3
    state["new"] = np.ones(5, "f4")
    write(source, state)
    (source / "notes.txt").touch()
    report = trial.open().save("model", source, policy="refuse")
    assert report.validated and report.root.validation.verdict == "good"
    (source / "notes.txt").unlink()
    assert trial.open().save("model", source, policy="refuse").validated


def test_the_threshold_of_a_norm_jump_can_be_chosen(trial: TrialVault, source: Path) -> None:
    state = tensors(1)
    state["embed"] *= 3
    write(source, state)
    assert not trial.open().save("model", source, norm_jump=2.0).validated


def test_after_a_finding_comparison_goes_on_with_the_newest(trial: TrialVault, source: Path) -> None:
    """A wanted change of shape is a finding once, and then the new normal."""
    write(source, tensors(1) | {"embed": np.ones((10, 10), "f4")})
    assert not trial.open().save("model", source).validated
    assert trial.open().save("model", source).validated


def test_findings_can_be_accepted(trial: TrialVault, source: Path) -> None:
    write(source, tensors(1) | {"embed": np.ones((10, 10), "f4")})
    snapshot = trial.open().save("model", source).root.id
    assert not trial.open().verify(snapshot).validated
    assert trial.open().verify(snapshot, accept_findings=True).validated
    vault = trial.open()
    assert vault.find("model@validated").id == snapshot
    assert "accepted" in vault.tags("model")["validated"].reason
    pointers_resolve(vault, "model")


def test_validated_needs_a_read_back(trial: TrialVault, source: Path) -> None:
    write(source, tensors(3))
    unverified = trial.open().save("model", source, verify=False)
    assert unverified.verified is None and not unverified.validated
    assert trial.open().find("model").id == unverified.root.id
    assert trial.open().find("model@validated").id != unverified.root.id
    assert trial.open().verify("model").validated
    ref = trial.open().tags("model")["validated"]
    assert ref.target == unverified.root.id and ref.check is not None and ref.check.level == "decoded"


@pytest.mark.parametrize("trouble", ["unreachable", "damaged"])
def test_validated_does_not_move_when_reading_back_fails(trial: TrialVault, source: Path, trouble: str) -> None:
    good = trial.open().find("model").id
    write(source, tensors(3))
    faults = Faults()
    if trouble == "unreachable":
        faults.fail("get_ranges", matching="packs/*")
    else:
        faults.damage("get_ranges", byte=100, matching="packs/*")
    with pytest.raises((StoreUnreachableError, DamageError)):
        trial.open(store=FaultyStore(trial.store, faults)).save("model", source)
    vault = trial.open()
    assert vault.find("model").id == vault.find("model@validated").id == good, "neither pointer moves unproven"
    left = [one.root.id for one in vault.snapshots() if one.root and one.root.id != good]
    if trouble == "damaged":
        assert not left, "what does not read back is taken back"
    else:
        assert vault.verify(left[0]).validated, "the snapshot itself is there, only not proven"


def test_verifying_an_older_snapshot_does_not_move_validated_back(trial: TrialVault, source: Path) -> None:
    old = trial.open().find("model").id
    write(source, tensors(3))
    new = trial.open().save("model", source).root.id
    assert not trial.open().verify(old).validated
    assert trial.open().find("model@validated").id == new


def test_a_damaged_pointer_is_passed_over_and_repaired_by_the_next_save(trial: TrialVault, source: Path) -> None:
    vault = trial.open()
    write(source, tensors(3))
    vault.save("model", source)
    for name in ("latest", "validated"):
        prefix = vault.handle.keys.names.ref_prefix("model", name)
        Flip(max(info.key for info in trial.store.list(prefix)), 200).apply(trial.store)
    write(source, tensors(4))
    report = trial.open().save("model", source)
    assert report.validated
    assert trial.open().find("model@validated").id == trial.open().find("model").id == report.root.id


def test_an_older_checkpoint_that_is_saved_late_moves_nothing_back(trial: TrialVault, tmp_path: Path) -> None:
    """A backlog may be saved in any order: `latest` and `validated` lead to the newest content."""
    folders = []
    for number in range(3):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        write(folder, tensors(5 + number))
        folders.append(folder)
    order = [1, 0, 2]
    for number in order:
        trial.open().save("model", folders[number], step=number)
    assert trial.open().find("model").step == trial.open().find("model@validated").step == 2
    trial.open().save("model", folders[1], step=7)
    assert trial.open().find("model").step == 2
    moves = [trial.open().find(ref.target).step for ref in read_history(trial.open().handle, "model", "latest")]
    assert moves == [1, 1, 2]


class Meaningless:
    """Neither text nor JSON."""

    def __repr__(self) -> str:  # tests are called by it, the same in every process
        return "meaningless"


@pytest.mark.parametrize(
    "arguments",
    [
        {"policy": "hope"},
        {"tags": ["latest"]},
        {"tags": ["a@b"]},
        {"tags": [""]},
        {"tags": ["x" * 2000]},
        {"tags": ["new\nline"]},
        {"metadata": {"a": Meaningless()}},
        {"metadata": {"a": "\udcff"}},
        {"asset": ""},
        {"asset": "nul\0"},
        {"asset": "\udcff"},
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_commits_nothing(
    trial: TrialVault, source: Path, arguments: dict[str, object]
) -> None:
    before = contents_of(trial.store)
    given = {"asset": "model", **arguments}
    with pytest.raises(UsageError):
        trial.open().save(given.pop("asset"), source, **given)  # type: ignore[arg-type] # nonsense is the point
    kinds = {key.partition("/")[0] for key in contents_of(trial.store).keys() - before.keys()}
    assert kinds <= {"packs", "index", "parts"}
