"""Which part of a tensor belongs to one of several ranks."""

from __future__ import annotations

from holdfast.errors import UsageError

__all__ = ["shard_key"]


def shard_key(shape: tuple[int, ...], rank: int, world: int, dim: int = 0) -> tuple[slice, ...]:
    """The index of the part of rank `rank` of `world` along `dim`, as `torch.chunk` (so FSDP, DTensor) cuts it.

    Every part has ⌈size / world⌉ places, but for the last ones: they may be smaller, or empty, so that the shapes that
    ranks get can differ. Raises UsageError when there is no such rank or dimension.
    """
    if world < 1 or not 0 <= rank < world:
        raise UsageError(f"there is no rank {rank} of {world}", hint="ranks count from 0 to one below their number")
    if not -len(shape) <= dim < len(shape):
        raise UsageError(f"a tensor of shape {list(shape)} has no dimension {dim} to cut along")
    dim %= len(shape)
    size = shape[dim]
    each = -(-size // world)
    return (*[slice(None)] * dim, slice(min(rank * each, size), min((rank + 1) * each, size)))
