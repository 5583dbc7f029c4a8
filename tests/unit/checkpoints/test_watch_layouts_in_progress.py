"""No intermediate state of any framework's save counts as a checkpoint, however long the trainer stalls in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import checkpoint_writers as writers
import pytest

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import find_checkpoints
from holdfast.checkpoints.settling import Settler
from holdfast.clock import NANOSECONDS, ManualClock

SETTLE_SECONDS = 10.0
DAY_NS = 86_400 * NANOSECONDS

# Writer, framework, and whether a marker lets a finished checkpoint pass at the first look.
WHOLE_BY_STRUCTURE = [
    (writers.huggingface, "huggingface", True),
    (writers.huggingface_lora, "huggingface", True),
    (writers.huggingface_fsdp, "huggingface", True),
    (writers.huggingface_deepspeed, "huggingface", True),
    (writers.huggingface_staged, "huggingface", True),
    (writers.huggingface_model, "huggingface-model", False),
    (writers.accelerate, "accelerate", False),
    (writers.accelerate_diffusers, "accelerate", False),
    (writers.torchtitan, "torchtitan", True),
    (writers.torchtitan_huggingface, "torchtitan", True),
    (writers.step_folder_with_trainer_state, "torchtitan", True),
    (writers.megatron, "megatron", True),
    (writers.megatron_first, "megatron", True),
    (writers.verl, "verl", True),
    (writers.deepspeed, "deepspeed", True),
    (writers.torch_dcp, "torch-dcp", True),
    (writers.lightning_file, "lightning", False),
    (writers.lightning_sharded, "lightning", True),
    (writers.lightning_deepspeed, "lightning", True),
    (writers.orbax, "orbax", True),
    (writers.orbax_numbered_suffix, "orbax", False),
    (writers.plain_npz, "file", False),
    (writers.plain_safetensors, "file", False),
    (writers.hidden_then_renamed, "file", False),
]


def clock_of_tomorrow() -> ManualClock:
    """Every file on disk looks a day old to it: the hardest case, and no test needs to sleep."""
    return ManualClock(time.time_ns() + DAY_NS)


class WallAndManualClock(ManualClock):
    """Durations by hand; the wall clock is the one that dates the files."""

    def now_ns(self) -> int:
        return time.time_ns()


def ready_ones(settler: Settler, root: Path) -> list[Candidate]:
    return [readiness.candidate for readiness in settler.look(find_checkpoints(root)) if readiness.ready]


def ready_after_stalling(root: Path, clock: ManualClock, settler: Settler) -> list[Candidate]:
    """By a watch that has just begun, and by one that has seen nothing change for long."""
    at_first_sight = ready_ones(Settler(clock, SETTLE_SECONDS), root)
    ready_ones(settler, root)
    clock.sleep(10 * SETTLE_SECONDS)
    return at_first_sight + ready_ones(settler, root)


@pytest.mark.parametrize(
    ("writer", "framework", "has_marker"), WHOLE_BY_STRUCTURE, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_stalled_save_is_never_ready_and_a_finished_one_is(
    writer: writers.Writer, framework: str, has_marker: bool, tmp_path: Path
) -> None:
    clock = clock_of_tomorrow()
    settler = Settler(clock, SETTLE_SECONDS)
    states = 0
    steps = writer(tmp_path)
    next(steps)
    while True:
        ready = ready_after_stalling(tmp_path, clock, settler)
        states += 1
        if next(steps, "finished") == "finished":
            break
        assert ready == [], f"ready in state {states}"
    assert states >= 3
    last = ready_after_stalling(tmp_path, clock, settler)[-1]
    assert (last.framework, last.step, last.complete, last.reason) == (framework, 500, True, "")
    assert [candidate.path for candidate in find_checkpoints(tmp_path)] == [last.path]
    at_first_sight = ready_ones(Settler(clock, SETTLE_SECONDS), tmp_path)
    assert bool(at_first_sight) is has_marker


def rank_that_lags(root: Path) -> Iterator[None]:
    """Rank 1 writes its random state when rank 0 has written `trainer_state.json` already."""
    yield from writers.huggingface_lora(root)
    yield from writers.write(root / "checkpoint-500" / "rng_state_1.pth", writers.torch_zip())


def registered_object(root: Path) -> Iterator[None]:
    """accelerate writes registered objects after everything else."""
    yield from writers.accelerate(root)
    yield from writers.write(root / "checkpoints" / "checkpoint_500" / "custom_checkpoint_0.pkl", writers.torch_zip())


def tokenizer_after_model(root: Path) -> Iterator[None]:
    yield from writers.huggingface_model(root)
    yield from writers.write(root / "model_500" / "tokenizer.json", b"{}")


def format_without_structure(root: Path) -> Iterator[None]:
    yield from writers.write(root / "weights_500.h5", bytes(1000))


@pytest.mark.parametrize(
    "writer",
    [
        rank_that_lags,
        registered_object,
        tokenizer_after_model,
        format_without_structure,
        writers.composer,
        writers.orbax_commit_file,
    ],
)
def test_what_only_quiet_can_tell_is_not_ready_while_it_moves(writer: writers.Writer, tmp_path: Path) -> None:
    """Here files follow after all signs of completeness; the writer never pauses as long as the settling time."""
    clock = WallAndManualClock()
    settler = Settler(clock, SETTLE_SECONDS)
    for operation, _ in enumerate(writer(tmp_path)):
        assert ready_ones(settler, tmp_path) == [], f"ready after operation {operation}"
        clock.sleep(SETTLE_SECONDS / 4)
    clock.sleep(SETTLE_SECONDS)
    assert [candidate.step for candidate in ready_ones(settler, tmp_path)] == [500]
    assert len(find_checkpoints(tmp_path)) == 1


def test_a_rank_of_deepspeed_that_still_writes_after_latest_is_waited_for(tmp_path: Path) -> None:
    """Rank 0 writes `latest` before the closing barrier of `DeepSpeedEngine.save_checkpoint`."""
    for _ in writers.deepspeed(tmp_path):
        pass
    folder = tmp_path / "global_step500"
    laggard = folder / "bf16_zero_pp_rank_2_mp_rank_00_optim_states.pt"
    clock = clock_of_tomorrow()
    settler = Settler(clock, SETTLE_SECONDS)
    steps = writers.write(laggard, writers.torch_zip())
    for _ in range(2):
        next(steps)
        assert ready_after_stalling(tmp_path, clock, settler) == []
    list(steps)
    assert [candidate.path for candidate in ready_after_stalling(tmp_path, clock, settler)] == [folder]
    (folder / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt").unlink()
    (candidate,) = find_checkpoints(tmp_path)
    assert "zero_pp_rank_1" in candidate.reason
