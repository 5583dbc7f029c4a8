"""The transformer of Holdfast's drills, for machines without PyTorch."""

from __future__ import annotations

import numpy as np

from holdfast.drills.trainer.model import Model, Shape

from .optimizer import AdamW, Floats
from .plan import Plan
from .text import Tokens

__all__ = ["NumpyModel"]


class NumpyModel:
    """See `models.Model`."""

    def __init__(self, plan: Plan, seed: int) -> None:
        shape = Shape(plan.width, plan.layers, plan.heads, plan.context, plan.batch)
        self._model = Model(shape)
        self._model.initialise(np.random.default_rng(seed))
        self.weights: dict[str, Floats] = dict(self._model.weights.items())

    def loss_and_gradients(self, inputs: Tokens, targets: Tokens) -> tuple[float, dict[str, Floats]]:
        loss = self._model.loss_and_gradients(inputs, targets, None)
        return float(loss), dict(self._model.gradients.items())

    def optimizer(self, warm_up: int) -> AdamW:
        return AdamW(self.weights, warm_up)
