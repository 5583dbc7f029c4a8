"""transformers' Trainer: killed, everything local lost, resumed from the vault, and equal in the end."""

from __future__ import annotations

from pathlib import Path

from framework_runs import check_story, run_story


def same_weights(one: Path, other: Path) -> bool:
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_a_killed_training_that_resumes_from_the_vault_ends_equal(tmp_path: Path) -> None:
    told = run_story("hf_trainer", tmp_path)
    check_story(told, tmp_path, same_weights)
    assert told["calm"]["last_durable_step"] == 24
