"""Named arrays that share one flat buffer, so that an optimizer step is a few passes over one vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from holdfast.drills.trainer.layers import Floats

__all__ = ["Parameters"]


class Parameters:
    """Arrays of the given shapes, all zero, as views of `flat` in the order of the mapping."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: npt.DTypeLike = np.float32) -> None:
        self.shapes = dict(shapes)
        self.flat: Floats = np.zeros(sum(math.prod(shape) for shape in shapes.values()), dtype=dtype)
        self._views: dict[str, Floats] = {}
        start = 0
        for name, shape in self.shapes.items():
            end = start + math.prod(shape)
            self._views[name] = self.flat[start:end].reshape(shape)
            start = end

    def __getitem__(self, name: str) -> Floats:
        return self._views[name]

    def items(self) -> Iterator[tuple[str, Floats]]:
        """Name and view, in order."""
        return iter(self._views.items())

    def like(self) -> Parameters:
        """The same names and shapes, zero."""
        return Parameters(self.shapes, self.flat.dtype)
