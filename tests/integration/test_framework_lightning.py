"""Lightning: killed, everything local lost, resumed from the vault, and equal in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from framework_runs import check_story, run_story


def same_weights(one: Path, other: Path) -> bool:
    before, after = (torch.load(folder / "weights.pt", weights_only=True) for folder in (one, other))
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_killed_training_that_resumes_from_the_vault_ends_equal(tmp_path: Path) -> None:
    check_story(run_story("lightning_fit", tmp_path), tmp_path, same_weights)
