"""What one rank found out, told to all of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.errors import FailedError, HoldfastError

__all__ = ["world_size", "has_group", "told_by_first", "first_failure"]

T = TypeVar("T")


def world_size() -> int:
    """How many ranks this job has, as its launcher says (`WORLD_SIZE`), or its process group."""
    return _distributed().get_world_size() if has_group() else int(os.environ.get("WORLD_SIZE", "1") or "1")


def has_group() -> bool:
    """Whether the ranks can talk to each other: the default process group of torch is there."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()


def told_by_first(call: Callable[[], T]) -> T:
    """What the call gives on rank 0, or what it raises there (elsewhere FailedError), on all ranks."""
    dist = _distributed()
    said: list[Any] = [None, ""]
    failed: HoldfastError | None = None
    if dist.get_rank() == 0:
        try:
            said[0] = call()
        except HoldfastError as error:
            failed, said[1] = error, error.message
    dist.broadcast_object_list(said, src=0)
    if failed is not None:
        raise failed
    if said[1]:
        raise FailedError(f"rank 0 could not restore: {said[1]}")
    result: T = said[0]
    return result


def first_failure(call: Callable[[], object] | None) -> str:
    """Each rank makes its call (None: it has nothing to do); the first message of what was raised, on all of them."""
    dist = _distributed()
    mine = ""
    if call is not None:
        try:
            call()
        except HoldfastError as error:
            mine = error.message
    failures: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(failures, mine)
    return next((text for text in failures if text), "")


def _distributed() -> Any:
    import torch.distributed

    return torch.distributed
