"""How a job is spread over processes: by what is handed in, torch.distributed, torchrun or Slurm; in this order."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.errors import UsageError
from holdfast.training.circumstances.model import Layout

__all__ = ["layout_here"]

_LAUNCHERS = (
    ("torchrun", "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE"),
    ("slurm", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_NTASKS_PER_NODE"),
    ("mpi", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
)


def layout_here(handed: Any = None, variables: Mapping[str, str] = os.environ) -> Layout:
    """The layout. `handed`: a `DeviceMesh` of torch, a mapping of dimensions to sizes (`{"dp": 4, "tp": 2}`), a
    `Layout`, or None. Raises UsageError for anything else.
    """
    if isinstance(handed, Layout):
        return handed
    found = _of_torch() or _of_launcher(variables) or Layout(source="one process")
    if handed is None:
        return found
    dims = _dims(handed)
    world = max(found.world, math.prod(dims.values()))
    return msgspec.structs.replace(found, dims=dims, world=world)


def _dims(handed: Any) -> dict[str, int]:
    if isinstance(handed, Mapping):
        sizes = {str(name): size for name, size in handed.items()}
    else:
        mesh = getattr(handed, "mesh", None)
        shape = tuple(getattr(mesh, "shape", ()))
        if not shape:
            raise UsageError(
                f"a {type(handed).__name__} is no parallel layout", hint='hand in a DeviceMesh or {"dp": 4, "tp": 2}'
            )
        names = getattr(handed, "mesh_dim_names", None) or [f"dim{number}" for number in range(len(shape))]
        sizes = dict(zip(map(str, names), shape, strict=True))
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UsageError(f"dimension {name!r} of a layout has a positive whole size, not {size!r}")
    return sizes


def _of_torch() -> Layout | None:
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Layout(
        world=distributed.get_world_size(),
        rank=distributed.get_rank(),
        local_world=_number(os.environ, "LOCAL_WORLD_SIZE") or 1,
        backend=str(distributed.get_backend()),
        source="torch.distributed",
    )


def _of_launcher(variables: Mapping[str, str]) -> Layout | None:
    for source, world, rank, local in _LAUNCHERS:
        size = _number(variables, world)
        if size:
            number = min(_number(variables, rank) or 0, size - 1)
            return Layout(world=size, rank=number, local_world=_number(variables, local) or 1, source=source)
    return None


def _number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
