"""What a checkpoint says of its own loss."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from holdfast.checkpoints.metrics import metrics_of


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (
            {"log_history": [{"loss": 3.0, "step": 1}, {"loss": 2.0, "grad_norm": 0.5}, {"eval_loss": 2.5}]},
            {"loss": 2.0, "grad_norm": 0.5, "eval_loss": 2.5},
        ),
        ({"loss": 1.25, "step": 7}, {"loss": 1.25}),
        ({"log_history": [{"loss": "high"}, {"loss": True}, 5], "loss": None}, {}),
        ({"log_history": {"loss": 1.0}}, {}),
        ([1, 2], {}),
        ({"log_history": [{"loss": 10**400}]}, {"loss": math.inf}),
    ],
)
def test_the_newest_of_each(tmp_path: Path, state: Any, expected: dict[str, float]) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert metrics_of(tmp_path) == expected


def test_a_loss_that_is_not_a_number_is_told(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"log_history": [{"loss": NaN}]}')
    assert math.isnan(metrics_of(tmp_path)["loss"])


@pytest.mark.parametrize("text", ["", "{", "\udcff", "[" * 100_000])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "trainer_state.json").write_bytes(text.encode(errors="surrogateescape"))
    assert metrics_of(tmp_path) == {}
    assert metrics_of(tmp_path / "trainer_state.json") == metrics_of(tmp_path / "nowhere") == {}
