"""The base run: trains, and keeps the states that the plan names."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .models import Model, Optimizer, make_model
from .plan import Plan
from .tensors import Arrays, to_bfloat16, write_safetensors
from .text import Batches, help_texts

__all__ = ["pretrain", "write_full_state", "write_bfloat16"]

_WARM_UP = 100  # steps over which the learning rate rises


def pretrain(folder: Path, plan: Plan) -> tuple[Model, list[float]]:
    """Train to the plan's last step and write its states. Returns the trained model and the losses."""
    model = make_model(plan, seed=0)
    optimizer = model.optimizer(_WARM_UP)
    batches = Batches(help_texts(), plan.context, plan.batch, seed=0)
    full, bfloat16 = _wanted(plan)
    losses: list[float] = []
    began = time.monotonic()
    for step in range(1, plan.last_step() + 1):
        loss, gradients = model.loss_and_gradients(*batches.next())
        optimizer.step(gradients)
        losses.append(loss)
        _keep(folder, full.get(step, []), partial(write_full_state, model=model, optimizer=optimizer, step=step))
        _keep(folder, bfloat16.get(step, []), lambda place: write_bfloat16(place, model.weights))
        if step % 25 == 0:
            spent = time.monotonic() - began
            sys.stderr.write(f"workload: step {step} of {plan.last_step()}, loss {loss:.3f}, {spent:.0f} s\n")
    return model, losses


def _keep(folder: Path, places: list[str], write: Callable[[Path], None]) -> None:
    """Write the current state to the first place, and link the others to it."""
    for number, place in enumerate(places):
        if number:
            _link(folder / places[0], folder / place)
        else:
            write(folder / place)


def _wanted(plan: Plan) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Step → folders to write, of full states and of bfloat16 weights."""
    full: dict[int, list[str]] = {}
    bfloat16: dict[int, list[str]] = {}
    for wanted, kind, steps in ((full, "fp32", plan.fp32_steps()), (bfloat16, "bf16", plan.bf16_steps())):
        for number, step in enumerate(steps):
            wanted.setdefault(step, []).append(f"{kind}/first/{number:02}")
            wanted.setdefault(step + 10, []).append(f"{kind}/next/{number:02}")
    for name, step in plan.single_steps().items():
        full.setdefault(step, []).append(f"steps/fp32/{name}")
        bfloat16.setdefault(step, []).append(f"steps/bf16/{name}")
    return full, bfloat16


def _link(target: Path, place: Path) -> None:
    """A relative symbolic link, so that a state that two parts use takes room once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent), target_is_directory=True)


def write_full_state(folder: Path, model: Model, optimizer: Optimizer, step: int) -> None:
    """Weights, both moments, and where the run stands: three files, as frameworks lay them out."""
    write_safetensors(folder / "model.safetensors", model.weights)
    moments = {f"exp_avg.{name}": array for name, array in optimizer.exp_avg.items()}
    moments |= {f"exp_avg_sq.{name}": array for name, array in optimizer.exp_avg_sq.items()}
    write_safetensors(folder / "optimizer.safetensors", moments)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def write_bfloat16(folder: Path, weights: Arrays) -> None:
    """The weights alone, rounded."""
    write_safetensors(folder / "model.safetensors", {name: to_bfloat16(array) for name, array in weights.items()})
