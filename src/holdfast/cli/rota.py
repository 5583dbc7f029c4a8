"""`holdfast snapshot verify --rota`: the snapshots that most need it, as far as a budget goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from holdfast.cli.options import pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count as counted
from holdfast.errors import UsageError
from holdfast.units import parse_size

if TYPE_CHECKING:
    from holdfast.vault.vault import Vault

__all__ = ["verify_in_turn"]


def verify_in_turn(
    output: Output,
    vault: Vault,
    *,
    worth: list[str] | None,
    budget: str | None,
    count: int | None,
    replicas: Sequence[str],
    dry_run: bool,
) -> None:
    """Prove, show, and end with code 4 if one is damaged. Raises UsageError."""
    from holdfast.cli.facts.repairs import rota_facts
    from holdfast.cli.views.repairs import rota_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.vaults.repairing import opened_replicas, replicas_at
    from holdfast.vault.checking.rota import Rota, plan_rota, run_rota

    progress = output.progress
    turns, left = plan_rota(
        vault.handle,
        worth=_worth(worth),
        replicas=opened_replicas(vault, replicas_at(replicas, progress=progress), progress),
        budget=parse_size(budget) if budget is not None else None,
        count=count,
    )
    if dry_run:
        rota = Rota(turns, {}, {}, left)
    else:
        with recorded_on(vault, "verify", objects={"rota": str(len(turns))}) as facts:
            rota = run_rota(vault.handle, turns, left)
            facts.objects["damaged"] = str(len(rota.damaged))
    output.give(rota_facts(vault, rota, dry_run=dry_run), rota_lines)
    if dry_run:
        output.finish("dry run: nothing was read back,")
        return
    output.finish(f"proved {counted(len(rota.proven), 'snapshot')}, {len(rota.damaged)} damaged,")
    if rota.damaged:
        raise typer.Exit(4)


def _worth(given: list[str] | None) -> dict[str, float]:
    found = {}
    for asset, text in pairs(given, "--worth").items():
        try:
            found[asset] = float(text)
        except ValueError as error:
            raise UsageError(f"--worth {asset} needs a number", hint="for example --worth llama=3") from error
    return found
