"""From `compute` of a site to the adapter of one of its pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.compute_model import Compute
from holdfast.errors import FailedError, RefusedError
from holdfast.homes import state_home
from holdfast.infra.compute.port import Machines, Pool

__all__ = ["pool_at", "pool_folder"]


def pool_folder(organisation: str, pool: Pool, environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/holdfast/machines/<organisation>/<site>/<shape>`. Raises FailedError where there is no home."""
    home = state_home(environment)
    if home is None:
        raise FailedError("there is no home folder to keep in it which machines are taken", hint="set XDG_STATE_HOME")
    return home / "holdfast" / "machines" / organisation / pool.site / pool.shape


def pool_at(
    organisation: str,
    site: str,
    pools: Sequence[Compute],
    shape: str,
    environment: Mapping[str, str],
    clock: Clock = SYSTEM_CLOCK,
) -> Machines:
    """The adapter. Raises RefusedError: the site has no machines of that shape, or of a kind that is not built."""
    declared = next((one for one in pools if one.shape == shape), None)
    if declared is None:
        there = ", ".join(one.shape for one in pools) or "no machines at all"
        raise RefusedError(f"{site} has no machines of the shape {shape}: it has {there}", object_name=site)
    pool = Pool(site, shape)
    folder = pool_folder(organisation, pool, environment)
    if declared.kind == "local":
        from holdfast.infra.compute.local import LocalMachines

        return LocalMachines(pool, folder, declared.machines, declared.ready, clock)
    if declared.kind == "slurm":
        from holdfast.infra.compute.slurm import SlurmMachines

        return SlurmMachines(pool, folder, declared, environment, clock)
    raise RefusedError(
        f"machines of the kind {declared.kind} are not built", hint="docs/compute.md says what an adapter needs"
    )
