"""How large each part of the workload is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Plan", "PLANS"]


class Plan(NamedTuple):
    """Sizes and steps. A checkpoint that ratios are taken from is of step `warm` or later.

    The state number i of a set is of step `warm + stride * i` (fp32) or lies in blocks of ten consecutive steps
    (bf16), so that each has its partner 10 steps later within the one run.
    """

    name: str
    width: int
    layers: int
    heads: int
    feed_forward: int
    context: int
    batch: int
    warm: int
    fp32_states: int
    bf16_states: int
    adapter_rank: int
    adapter_steps: tuple[int, int]
    variant_steps: int
    dataset_files: int
    dataset_shards: int
    shard_bytes: int

    def fp32_steps(self) -> list[int]:
        """Steps of the first states of the fp32 set: 20 apart, the partners between them."""
        return [self.warm + 20 * number for number in range(self.fp32_states)]

    def bf16_steps(self) -> list[int]:
        """Steps of the first states of the bf16 set: ten in a row, then the ten partners, and so on."""
        return [self.warm + 20 * (number // 10) + number % 10 for number in range(self.bf16_states)]

    def single_steps(self) -> dict[str, int]:
        """The one state, and what came 1, 10 and 100 steps later: name of the folder → step."""
        return {f"+{later}": self.warm + later for later in (0, 1, 10, 100)}

    def last_step(self) -> int:
        """The step after which training may stop."""
        return max(*self.single_steps().values(), self.fp32_steps()[-1] + 10, self.bf16_steps()[-1] + 10)


_FULL = Plan(
    name="full",
    width=512,
    layers=7,
    heads=8,
    feed_forward=1376,
    context=128,
    batch=4,
    warm=400,
    fp32_states=5,
    bf16_states=25,
    adapter_rank=16,
    adapter_steps=(200, 300),
    variant_steps=60,
    dataset_files=8000,
    dataset_shards=8,
    shard_bytes=32 << 20,
)
PLANS = {
    "full": _FULL,
    "quick": _FULL._replace(
        name="quick",
        width=256,
        layers=2,
        heads=4,
        feed_forward=688,
        context=64,
        warm=300,
        fp32_states=2,
        bf16_states=10,
        adapter_rank=8,
        adapter_steps=(40, 80),
        variant_steps=20,
        dataset_files=800,
        dataset_shards=4,
        shard_bytes=4 << 20,
    ),
    # Only to see that everything runs; says nothing about speeds or ratios.
    "tiny": _FULL._replace(
        name="tiny",
        width=32,
        layers=1,
        heads=2,
        feed_forward=64,
        context=16,
        batch=2,
        warm=5,
        fp32_states=2,
        bf16_states=2,
        adapter_rank=2,
        adapter_steps=(2, 4),
        variant_steps=2,
        dataset_files=20,
        dataset_shards=1,
        shard_bytes=64 << 10,
    ),
}
