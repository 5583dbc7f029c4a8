"""AdamW in NumPy over named arrays: for adapters and partial fine-tunes, and for all where there is no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "AdamW", "learning_rate", "clip", "BETAS", "DECAY", "EPSILON"]

Floats = NDArray[np.float32]
PEAK = 3e-4
BETAS = (0.9, 0.95)
DECAY = 0.1
EPSILON = 1e-8
CLIP_NORM = 1.0


def learning_rate(step: int, warm_up: int) -> float:
    """Linear up to 3e-4 over `warm_up` steps, then constant: later steps change the weights as much as earlier ones."""
    return PEAK * min(1.0, step / warm_up)


def clip(gradients: Mapping[str, Floats]) -> None:
    """Scale all of them in place so that their common norm is at most 1."""
    norm = math.sqrt(sum(float(np.dot(g.ravel(), g.ravel())) for g in gradients.values()))
    if norm > CLIP_NORM:
        for gradient in gradients.values():
            np.multiply(gradient, np.float32(CLIP_NORM / norm), out=gradient)


class AdamW:
    """Updates `weights` in place (Loshchilov and Hutter 2019). Matrices decay, vectors do not."""

    def __init__(self, weights: Mapping[str, Floats], warm_up: int) -> None:
        self._weights = weights
        self._warm_up = warm_up
        self.step_number = 0
        self.exp_avg = {name: np.zeros_like(array) for name, array in weights.items()}
        self.exp_avg_sq = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(self, gradients: Mapping[str, Floats]) -> None:
        """One update. Clips `gradients` in place; names without a weight here are ignored."""
        mine = {name: gradients[name] for name in self._weights}
        clip(mine)
        self.step_number += 1
        rate = learning_rate(self.step_number, self._warm_up)
        first, second = (1.0 - beta**self.step_number for beta in BETAS)
        for name, gradient in mine.items():
            weight, mean, square = self._weights[name], self.exp_avg[name], self.exp_avg_sq[name]
            mean += (gradient - mean) * np.float32(1 - BETAS[0])
            square += (gradient * gradient - square) * np.float32(1 - BETAS[1])
            if weight.ndim > 1:
                weight *= np.float32(1 - rate * DECAY)
            weight -= np.float32(rate / first) * mean / (np.sqrt(square / np.float32(second)) + np.float32(EPSILON))
