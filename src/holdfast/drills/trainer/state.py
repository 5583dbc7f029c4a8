"""Everything that one training step changes: weights, moments, random numbers, place in the text."""

from __future__ import annotations

import numpy as np

from holdfast.drills.trainer.adamw import AdamW
from holdfast.drills.trainer.model import SHAPES, Model
from holdfast.drills.trainer.text import Batches, load_corpus
from holdfast.errors import UsageError

__all__ = ["TrainingState"]


class TrainingState:
    """A run at a step. `size` is a key of `SHAPES`; `seed` decides first weights, dropout and order of the text."""

    def __init__(self, size: str, seed: int) -> None:
        if size not in SHAPES:
            raise UsageError(f"{size!r} is not a size of the drill's model", hint=f"use one of {', '.join(SHAPES)}")
        if seed < 0:
            raise UsageError(f"{seed} is not a seed", hint="use a number from 0 on")
        shape = SHAPES[size]
        self.size = size
        self.seed = seed
        self.model = Model(shape)
        self.model.initialise(np.random.Generator(np.random.PCG64(seed)))
        self.optimizer = AdamW(self.model.weights)
        self.random = np.random.PCG64(np.random.SeedSequence([seed, 1]))
        self.batches = Batches(load_corpus(), shape.context, shape.batch, seed)
        self.step = 0
        self.tokens = 0
        self.loss = float("nan")
        self._dropout = np.random.Generator(self.random)

    def advance(self) -> float:
        """One step: read, forward, backward, update. Returns the loss in nats per byte."""
        inputs, targets = self.batches.next()
        self.loss = self.model.loss_and_gradients(inputs, targets, self._dropout)
        self.step += 1
        self.tokens += inputs.size
        self.optimizer.update(self.model.weights, self.model.gradients, self.step)
        return self.loss
