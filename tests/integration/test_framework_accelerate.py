"""accelerate: killed, everything local lost, resumed from the vault, and equal in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from framework_runs import check_story, run_story

import holdfast


def same_weights(one: Path, other: Path) -> bool:
    before, after = (torch.load(folder / "weights.pt", weights_only=True) for folder in (one, other))
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_killed_training_that_resumes_from_the_vault_ends_equal(tmp_path: Path) -> None:
    check_story(run_story("accelerate_loop", tmp_path), tmp_path, same_weights)


def test_automatic_names_and_their_limit_go_on_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    from holdfast.training.callbacks.accelerate import attach

    for kind in ("STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))
    holdfast.create(tmp_path / "vault")

    def begin(project: Path):
        naming = ProjectConfiguration(str(project), automatic_checkpoint_naming=True, total_limit=1)
        accelerator = Accelerator(cpu=True, project_config=naming)
        model = accelerator.prepare(torch.nn.Linear(4, 4))
        return accelerator, model, attach(accelerator, str(tmp_path / "vault"), asset="net")

    accelerator, model, attached = begin(tmp_path / "run")
    for value in (1.0, 2.0, 3.0):
        torch.nn.init.constant_(model.weight, value)
        accelerator.save_state()
        assert attached.wait(60)
    assert [place.name for place in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint_2"]
    assert attached.stats()["troubles"] == {}
    assert attached.stats()["last_durable_step"] == 2
    accelerator.end_training()
    accelerator.free_memory()

    accelerator, model, attached = begin(tmp_path / "elsewhere")
    found = attached.resume()
    assert found == str(tmp_path / "elsewhere" / "checkpoints" / "checkpoint_2")
    accelerator.load_state()  # by accelerate's own choice: the only one there
    assert model.weight.unique().tolist() == [3.0]
    accelerator.save_state()
    assert attached.wait(60)
    assert attached.stats()["last_durable_step"] == 3
    accelerator.end_training()
