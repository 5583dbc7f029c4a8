"""The one face of a model, whichever library computes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .optimizer import Floats
from .plan import Plan
from .text import Tokens

__all__ = ["Model", "Optimizer", "make_model", "engine"]


class Optimizer(Protocol):
    """What trains a model's weights. Both moments by the names of the weights."""

    @property
    def exp_avg(self) -> Mapping[str, Floats]:
        """Means of the gradients."""

    @property
    def exp_avg_sq(self) -> Mapping[str, Floats]:
        """Means of their squares."""

    def step(self, gradients: dict[str, Floats]) -> None:
        """Update the weights from `gradients`, which are used up."""


class Model(Protocol):
    """A causal language model over bytes. Writing into `weights` changes the model."""

    weights: dict[str, Floats]

    def loss_and_gradients(self, inputs: Tokens, targets: Tokens) -> tuple[float, dict[str, Floats]]:
        """Loss in nats per byte, and its gradient by each weight; both (batch, context) in."""

    def optimizer(self, warm_up: int) -> Optimizer:
        """A new AdamW of all weights."""


def engine() -> str:
    """`torch X.Y` if PyTorch can be imported here, else `numpy X.Y`."""
    try:
        import torch
    except ImportError:
        import numpy as np

        return f"numpy {np.__version__}"
    return f"torch {torch.__version__}"


def make_model(plan: Plan, seed: int) -> Model:
    """A model with random weights: of PyTorch where it is, else the one of Holdfast's drills."""
    if engine().startswith("torch"):
        from .torch_model import TorchModel

        return TorchModel(plan, seed)
    from .numpy_model import NumpyModel

    return NumpyModel(plan, seed)
