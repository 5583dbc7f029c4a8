"""A folder of models that share a base, as people keep them: fine-tunes of one layer, merged, averaged, quantised."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .adapters import last_layer
from .models import Model
from .optimizer import AdamW, Floats
from .plan import Plan
from .pretraining import write_bfloat16
from .tensors import Arrays, write_safetensors
from .text import Batches, source_code

__all__ = ["write_variants"]


def write_variants(folder: Path, model: Model, base: dict[str, Floats], plan: Plan) -> None:
    """Two versions of the folder: the second has one fine-tune more, one trained on, and a new average.

    `model` comes merged with its adapters; `base` are the weights before.
    """
    first, following = folder / "variants/first", folder / "variants/next"
    merged = {name: array.copy() for name, array in model.weights.items()}
    tuned = [_fine_tune(model, base, plan, seed) for seed in (11, 12)]
    write_bfloat16(first / "base", base)
    write_bfloat16(first / "merged-adapters", merged)
    write_bfloat16(first / "tuned-a", tuned[0])
    write_bfloat16(first / "tuned-b", tuned[1])
    write_bfloat16(first / "average", _average([base, *tuned]))
    write_safetensors(first / "base-int8/model.safetensors", _quantise(base))
    shutil.copytree(first, following)
    longer = _fine_tune(model, tuned[1], plan, 13)
    write_bfloat16(following / "tuned-b", longer)
    write_bfloat16(following / "tuned-c", _fine_tune(model, base, plan, 14))
    write_bfloat16(following / "average", _average([base, tuned[0], longer]))


def _fine_tune(model: Model, start: dict[str, Floats], plan: Plan, seed: int) -> dict[str, Floats]:
    """Train the last layer alone, from `start`, on source code."""
    for name, array in start.items():
        model.weights[name][...] = array
    chosen = last_layer(list(start))
    optimizer = AdamW({name: array for name, array in model.weights.items() if chosen(name)}, warm_up=10)
    batches = Batches(source_code(), plan.context, plan.batch, seed)
    for _ in range(plan.variant_steps):
        _, gradients = model.loss_and_gradients(*batches.next())
        optimizer.step(gradients)
    return {name: array.copy() for name, array in model.weights.items()}


def _average(models: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Their mean where they differ; a tensor that all share stays as it is, to the bit."""
    mean: dict[str, Floats] = {}
    for name, array in models[0].items():
        same = all(np.array_equal(array, other[name]) for other in models[1:])
        mean[name] = array if same else np.mean([each[name] for each in models], axis=0, dtype=np.float32)
    return mean


def _quantise(weights: Arrays) -> dict[str, NDArray[np.int8] | Floats]:
    """Matrices as int8 with one float32 scale a row; vectors as they are."""
    result: dict[str, NDArray[np.int8] | Floats] = {}
    for name, array in weights.items():
        if array.ndim < 2:
            result[name] = array
            continue
        scale = (np.abs(array).max(axis=1, keepdims=True) / np.float32(127)).clip(np.float32(1e-12))
        result[name] = np.round(array / scale).astype(np.int8)
        result[f"{name}.scale"] = scale
    return result
