"""The step is read from the name, and nothing else that is numbered is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.checkpoints.steps import step_in_name


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("checkpoint_3", 3),
        ("step-0", 0),
        ("iter_0000500", 500),
        ("global_step500", 500),
        ("global_step_500", 500),
        ("epoch=1-step=500.ckpt", 500),
        ("epoch=01-step=000500-val_loss=0.25.ckpt", 500),
        ("model-epoch10-step200.ckpt", 200),
        ("ep1-ba42-rank0.pt", 42),
        ("ep1-ba42", 42),
        ("model_500.pt", 500),
        ("model-500.safetensors", 500),
        ("500", 500),
        ("500.pt", 500),
        ("ckpt_12.pth", 12),
        ("iteration_77.npz", 77),
        ("Step_9.PT", 9),
        ("checkpoint_1_step_400.pt", 400),
        ("model_epoch_5.pt", None),
        ("model_epoch5.pt", None),
        ("mp_rank_00.pt", None),
        ("model-00001-of-00003.safetensors", None),
        ("model.safetensors", None),
        ("last.ckpt", None),
        ("release", None),
        ("model_0.25.pt", None),
        ("resnet50.pt", None),
        ("footstep5.pt", None),
        ("seed_42.pt", None),
        ("step-" + "9" * 40, None),
        ("", None),
    ],
)
def test_step_in_name(name: str, step: int | None) -> None:
    assert step_in_name(name) == step


@given(step=st.integers(0, 10**18 - 1), zeros=st.integers(0, 3))
def test_every_framework_s_name_gives_its_step_back(step: int, zeros: int) -> None:
    if len(str(step)) + zeros > 18:
        zeros = 0
    number = "0" * zeros + str(step)
    for name in ("checkpoint-{}", "step-{}", "iter_{}", "global_step{}", "epoch=3-step={}.ckpt", "ep1-ba{}-rank0.pt"):
        assert step_in_name(name.format(number)) == step


@given(name=st.text())
def test_any_name_is_answered(name: str) -> None:
    step = step_in_name(name)
    assert step is None or step >= 0
