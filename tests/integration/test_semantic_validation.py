"""A real training run, of the drill's trainer, is saved without a finding; what goes wrong in one is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from holdfast.clock import SYSTEM_CLOCK
from holdfast.drills.trainer.checkpoint import save_checkpoint
from holdfast.drills.trainer.state import TrainingState
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory

STEPS, EVERY = 100, 5


class Run(NamedTuple):
    trial: TrialVault
    folder: Path
    checks: dict[int, list[str]]  # step → findings
    last: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The run, saved every few steps, its first weights included."""
    folder = tmp_path_factory.mktemp("run")
    with own_memory(folder / "state"):
        trial = new_trial_vault(MemoryStore(), encrypted=False)
        vault, state = trial.open(), TrainingState("small", 0)
        checks, last = {}, save_checkpoint(folder, state, SYSTEM_CLOCK)
        for step in range(0, STEPS + 1, EVERY):
            if step:
                for _ in range(EVERY):
                    state.advance()
                last = save_checkpoint(folder, state, SYSTEM_CLOCK)
            metrics = {"loss": state.loss} if step else {}
            report = vault.save("model", last, step=step, verify=False, metrics=metrics)
            checks[step] = [f"{one.check} {one.where}" for one in report.root.validation.findings]
        yield Run(trial, folder, checks, last)


def test_a_normal_run_has_no_finding(run: Run) -> None:
    assert run.checks == {step: [] for step in range(0, STEPS + 1, EVERY)}


def test_its_statistics_are_those_of_the_arrays(run: Run) -> None:
    vault = run.trial.open()
    weights = load_file(run.last / "model.safetensors")
    [entry] = [one for one in vault.files(vault.find("model")) if one.path == b"model.safetensors"]
    assert len(entry.tensors) == len(weights) > 10
    for tensor in entry.tensors:
        values = weights[tensor.name]
        assert (tensor.least, tensor.greatest) == (values.min(), values.max())
        assert tensor.zeros == np.count_nonzero(values == 0)
        assert tensor.norm == pytest.approx(float(np.linalg.norm(values.astype("f8"))), rel=1e-6)


Weights = dict[str, np.ndarray]  # type: ignore[type-arg] # of any dtype


def zeroed(weights: Weights, first: Weights) -> None:
    weights["blocks.1.mlp.down.weight"][:] = 0


def nan(weights: Weights, first: Weights) -> None:
    weights["embed.tokens.weight"][3, 4] = np.nan


def scaled(weights: Weights, first: Weights) -> None:
    weights["blocks.0.attention.qkv.weight"] *= 1e3


def tripled(weights: Weights, first: Weights) -> None:
    weights["blocks.0.mlp.up.weight"] *= 3


def spiked(weights: Weights, first: Weights) -> None:
    weights["blocks.0.attention.qkv.weight"][5, 5] = 3.0


def reset(weights: Weights, first: Weights) -> None:
    weights.update(first)


SPOILED: dict[str, tuple[Callable[[Weights, Weights], None], set[str]]] = {
    "one NaN": (nan, {"non-finite"}),
    "one tensor zeroed": (zeroed, {"zeros-jump"}),
    "one tensor × 1000": (scaled, {"norm-jump", "norm-outlier"}),
    "one tensor × 3": (tripled, {"norm-outlier"}),
    "one value that sticks out": (spiked, {"range-outlier"}),
    "weights as at the beginning": (reset, {"reset", "zeros-jump"}),
    "nothing": (lambda weights, first: None, set()),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_goes_wrong_is_found_and_named(run: Run, tmp_path: Path, case: str) -> None:
    spoil, expected = SPOILED[case]
    folder = tmp_path / "checkpoint"
    shutil.copytree(run.last, folder)
    weights, first = load_file(folder / "model.safetensors"), load_file(run.folder / "step-0" / "model.safetensors")
    spoil(weights, first)
    save_file(weights, folder / "model.safetensors")
    with own_memory(run.folder / "state"):
        report = run.trial.open().save("model", folder, verify=False, policy="quarantine")
    findings = report.root.validation.findings
    assert {one.check for one in findings} == expected
    assert all("model.safetensors" in one.where and one.message for one in findings)
    assert report.root.validation.verdict == ("quarantined" if expected else "good")


def test_without_what_this_machine_remembered_the_parent_is_all_there_is(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(run.last, folder)
    weights = load_file(folder / "model.safetensors")
    tripled(weights, {})
    save_file(weights, folder / "model.safetensors")
    with own_memory(tmp_path / "elsewhere"):
        report = run.trial.open().save("model", folder, verify=False, policy="quarantine")
    assert report.root.validation.findings == []


def test_a_loss_that_spikes(run: Run) -> None:
    with own_memory(run.folder / "state"):
        report = run.trial.open().save("model", run.last, verify=False, policy="quarantine", metrics={"loss": 30.0})
    [found] = report.root.validation.findings
    assert (found.check, found.where) == ("metric-outlier", "metric loss")
    assert report.root.meta["metric.loss"] == "30.0"
