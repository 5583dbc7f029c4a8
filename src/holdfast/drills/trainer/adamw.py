"""AdamW (Loshchilov and Hutter 2019) over one flat vector, with clipping by norm and linear warm-up."""

from __future__ import annotations

import math

import numpy as np

from holdfast.drills.trainer.layers import Floats
from holdfast.drills.trainer.parameters import Parameters

__all__ = ["AdamW", "LEARNING_RATE"]

LEARNING_RATE = 2e-3  # high, so that a run of seconds visibly learns
_WARM_UP_STEPS = 10
_BETA_1, _BETA_2 = 0.9, 0.95
_EPSILON = 1e-8
_DECAY = 0.1
_CLIP_NORM = 1.0
_BLOCK = 1 << 16  # elements; five vectors of a block fit a core's second-level cache


class AdamW:
    """First and second moments of the gradients of `weights`, zero at first.

    `learning_rate` may be changed between steps.
    """

    def __init__(self, weights: Parameters) -> None:
        self.learning_rate = LEARNING_RATE
        self.exp_avg = weights.like()
        self.exp_avg_sq = weights.like()
        shapes = weights.shapes.values()
        self._decayed = sum(math.prod(shape) for shape in shapes if len(shape) > 1)  # matrices come first

    def update(self, weights: Parameters, gradients: Parameters, step: int) -> None:
        """Step number `step`, counted from 1. Changes `weights` and the moments, and uses up `gradients`."""
        _clip(gradients.flat)
        rate = self.learning_rate * min(1.0, step / _WARM_UP_STEPS)
        step_size = rate / (1.0 - _BETA_1**step)
        correction = math.sqrt(1.0 - _BETA_2**step)
        weights.flat[: self._decayed] *= 1.0 - rate * _DECAY
        for start in range(0, len(weights.flat), _BLOCK):
            part = slice(start, start + _BLOCK)
            change = self._direction(gradients.flat[part], part, correction)
            change *= step_size
            weights.flat[part] -= change

    def _direction(self, gradient: Floats, part: slice, correction: float) -> Floats:
        """Mean / (√(square) / correction + ε) of a block, in the memory of `gradient`."""
        mean, square = self.exp_avg.flat[part], self.exp_avg_sq.flat[part]
        mean *= _BETA_1
        mean += gradient * (1.0 - _BETA_1)
        square *= _BETA_2
        np.multiply(gradient, gradient, out=gradient)
        gradient *= 1.0 - _BETA_2
        square += gradient
        np.sqrt(square, out=gradient)
        gradient /= correction
        gradient += _EPSILON
        np.divide(mean, gradient, out=gradient)
        return gradient


def _clip(gradient: Floats) -> None:
    norm = math.sqrt(float(np.dot(gradient, gradient)))
    if norm > _CLIP_NORM:
        gradient *= _CLIP_NORM / norm
