"""JAX with Orbax: killed, everything local lost, resumed from the vault, and equal in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from framework_runs import check_story, run_story


def same_weights(one: Path, other: Path) -> bool:
    before, after = (dict(np.load(folder / "weights.npz")) for folder in (one, other))
    return before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


def test_a_killed_training_that_resumes_from_the_vault_ends_equal(tmp_path: Path) -> None:
    check_story(run_story("orbax_train", tmp_path), tmp_path, same_weights)
