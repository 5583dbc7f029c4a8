"""A LoRA fine-tune (Hu et al. 2021) of the base: the weights stay, two narrow matrices beside each of them learn.

With W + (α/r)·B·A in place of W, and G the gradient by it, the chain rule gives (α/r)·G·Aᵀ for B and (α/r)·Bᵀ·G for A:
so any model that returns gradients by its weights can train adapters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .models import Model
from .optimizer import AdamW, Floats
from .plan import Plan
from .pretraining import write_bfloat16
from .tensors import write_safetensors
from .text import Batches, source_code

__all__ = ["fine_tune_adapters"]

_SCALE = 2.0  # α/r


class _Adapters:
    def __init__(self, model: Model, rank: int) -> None:
        random = np.random.default_rng(7)
        self._model = model
        self._frozen = {name: w.copy() for name, w in model.weights.items() if w.ndim == 2 and _in_a_layer(name)}
        self.weights: dict[str, Floats] = {}
        for name, matrix in self._frozen.items():
            rows, columns = matrix.shape
            deviation = columns**-0.5
            narrow = random.standard_normal((rank, columns), np.float32)
            narrow *= np.float32(deviation)
            self.weights[f"{name}.lora_A"] = narrow
            self.weights[f"{name}.lora_B"] = np.zeros((rows, rank), np.float32)

    def merge(self) -> None:
        """Set the model to base plus adapters."""
        for name, frozen in self._frozen.items():
            np.matmul(self.weights[f"{name}.lora_B"], self.weights[f"{name}.lora_A"], out=self._model.weights[name])
            self._model.weights[name] *= np.float32(_SCALE)
            self._model.weights[name] += frozen

    def gradients(self, by_weight: dict[str, Floats]) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for name in self._frozen:
            gradient = by_weight[name] * np.float32(_SCALE)
            found[f"{name}.lora_A"] = self.weights[f"{name}.lora_B"].T @ gradient
            found[f"{name}.lora_B"] = gradient @ self.weights[f"{name}.lora_A"].T
        return found


def fine_tune_adapters(folder: Path, model: Model, plan: Plan) -> None:
    """Train adapters, write the two states, and leave the model merged with them.

    Each state is a folder of the frozen base (bfloat16), the adapters and their moments (float32).
    """
    base = {name: array.copy() for name, array in model.weights.items()}
    adapters = _Adapters(model, plan.adapter_rank)
    optimizer = AdamW(adapters.weights, warm_up=20)
    batches = Batches(source_code(), plan.context, plan.batch, seed=1)
    places = dict(zip(plan.adapter_steps, ("first", "next"), strict=True))
    for step in range(1, plan.adapter_steps[-1] + 1):
        _, gradients = model.loss_and_gradients(*batches.next())
        optimizer.step(adapters.gradients(gradients))
        adapters.merge()
        if step in places:
            target = folder / "lora" / places[step]
            write_bfloat16(target / "base", base)
            write_safetensors(target / "adapter_model.safetensors", adapters.weights)
            moments = {f"exp_avg.{name}": array for name, array in optimizer.exp_avg.items()}
            moments |= {f"exp_avg_sq.{name}": array for name, array in optimizer.exp_avg_sq.items()}
            write_safetensors(target / "optimizer.safetensors", moments)
            (target / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def _in_a_layer(name: str) -> bool:
    return name.startswith(("layers.", "blocks."))


def last_layer(names: list[str]) -> Callable[[str], bool]:
    """Whether a name is of the last layer."""
    number = max(int(name.split(".")[1]) for name in names if _in_a_layer(name))
    return lambda name: name.split(".")[:2] in (["layers", str(number)], ["blocks", str(number)])
