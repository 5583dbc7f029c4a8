"""Keras with two of its backends: killed within an epoch, resumed from the vault, and equal in the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from framework_runs import run_story


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_killed_training_that_resumes_from_the_vault_ends_equal(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    told = run_story("keras_fit", tmp_path)
    calm = dict(np.load(tmp_path / "calm" / "weights.npz"))
    losses = json.loads((tmp_path / "calm" / "losses.json").read_text())
    for run in ("resumed", "fallen-back"):
        weights = dict(np.load(tmp_path / run / "weights.npz"))
        assert weights.keys() == calm.keys()
        assert all(np.array_equal(calm[name], weights[name]) for name in calm), run
        later = json.loads((tmp_path / run / "losses.json").read_text())
        assert 0 < len(later) < len(losses), "it began anew"
        assert later == {epoch: losses[epoch] for epoch in later}
        assert told[run]["last_durable_step"] == 16
    assert told["resumed"]["troubles"] == {}
    assert f"passed over: step {told['damaged']}" in (tmp_path / "fallen-back.log").read_text()
