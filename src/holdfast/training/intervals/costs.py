"""What saves cost here, learned as they go: exponentially weighted means that follow changes."""

from __future__ import annotations

from holdfast.objectives.intervals import SaveCost

__all__ = ["Mean", "CostMeter", "MEMORY_SAVES"]

MEMORY_SAVES = 10  # so many of the last saves carry 1 − e⁻² ≈ 86 % of the weight


class Mean:
    """An exponentially weighted mean with weight 2 / (memory + 1) for the newest value. The first ones count alike
    until there are as many: no value is believed more for having come first.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self.count = 0
        self.value: float | None = None

    def add(self, value: float) -> None:
        self.count += 1
        weight = max(1 / self.count, 2 / (self._memory + 1))
        self.value = value if self.value is None else self.value + weight * (value - self.value)


class CostMeter:
    """The mean cost of a save over about the last `MEMORY_SAVES`."""

    def __init__(self, memory: int = MEMORY_SAVES) -> None:
        self._stopped, self._slowed, self._durable = Mean(memory), Mean(memory), Mean(memory)

    @property
    def saves(self) -> int:
        """How many were measured."""
        return self._stopped.count

    @property
    def cost(self) -> SaveCost | None:
        """None before the first."""
        if self._stopped.value is None:
            return None
        return SaveCost(
            stopped_seconds=self._stopped.value,
            slowed_seconds=self._slowed.value or 0.0,
            durable_seconds=self._durable.value or 0.0,
        )

    def add(self, cost: SaveCost) -> None:
        """One more save that was measured. Raises UsageError for times that cannot be."""
        cost.checked()
        self._stopped.add(cost.stopped_seconds)
        self._slowed.add(cost.slowed_seconds)
        self._durable.add(cost.durable_seconds)
