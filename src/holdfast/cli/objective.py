"""`holdfast objective`: what assets owe, and how often they have to be saved for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_options import AssetOption, ConfigOption, chosen_assets, open_declared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.cli.schemas.objectives import ObjectiveFacts, ObjectiveStatus
    from holdfast.control.recovering.standings import Stood
    from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
    from holdfast.recovery.journal.entries import Entry
    from holdfast.vault.vault import Vault

__all__ = ["app", "objective_status"]

_RUNS = 20  # the newest, in which a drill of each asset is looked for

app = typer.Typer(
    cls=Group,
    help="See what assets owe, and how often they have to be saved for it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        2,
        5,
        7,
        _3="not found: no holdfast.yaml, no such asset",
        _8="store unreachable: some home does not answer; the output names it",
        _9="with --check: the newest snapshot of some asset is older than its RPO",
    ),
)
def status(
    context: typer.Context,
    asset: AssetOption = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 9 where an RPO is missed.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how each asset stands against its RPO and RTO, how often it should be saved, and why.

    Each value says where it is from: rounds of `site sync`, the stores, past runs, a plan of today. What nobody
    measured is NOT_MEASURED, and never counts as good.

    The interval is Daly's optimum of what saves and failures cost, within the RPO. The cost is what the run measured;
    failures are what it was told, else the full restores that the vault has seen.
    """
    from holdfast.cli.views.objectives import objective_lines

    output: Output = context.obj
    sites = open_declared(config, output)
    record = objective_status(sites, asset)
    facts = record.assets
    output.give(record, objective_lines)
    missed = sum(one.state == "MISSED" for one in facts)
    away = sum(one.trouble is not None for one in facts)
    output.finish(f"{count(len(facts), 'asset')}: {missed} missed, {away} not to be seen,")
    if check and missed:
        raise typer.Exit(9)
    if away:
        raise typer.Exit(8)


def objective_status(sites: DeclaredSites, names: list[str] | None) -> ObjectiveStatus:
    """Of these assets, or all: also what a server answers."""
    from holdfast.cli.schemas.objectives import ObjectiveStatus

    stands = _stands(sites)
    facts = [_facts(sites, one, stands) for one in chosen_assets(sites, names)]
    return ObjectiveStatus(config=str(sites.loaded.path), assets=facts)


Stands = Callable[["Vault | None", "DeclaredAsset", "float | None"], "Stood | None"]


def _stands(sites: DeclaredSites) -> Stands:
    """How an asset stands; past runs are read once for all of them."""
    from holdfast.control.authority.guarding import guard
    from holdfast.control.evidencing.crediting import Drills, drills_at
    from holdfast.control.recovering.history import past_of
    from holdfast.control.recovering.journals import newest_runs
    from holdfast.control.recovering.opening import open_anywhere
    from holdfast.control.recovering.standings import standing_of
    from holdfast.errors import HoldfastError

    runs: dict[str, Mapping[str, Sequence[Entry]]] = {}
    drills: dict[str, Drills] = {}

    def stands(vault: Vault | None, asset: DeclaredAsset, usual: float | None) -> Stood | None:
        if asset.set_name:
            return None
        try:
            opened = vault if vault is not None else open_anywhere(sites, [asset])
        except HoldfastError:
            return None  # `trouble` has it
        if vault is None:
            guard(opened, "objective.show", asset=asset.name)
        if not opened.handle.keys.can_read:
            return None
        if opened.id not in runs:
            runs[opened.id] = newest_runs(sites, opened.handle.keys, _RUNS, opened.handle.clock)
            drills[opened.id] = drills_at(sites, opened)
        of = runs[opened.id]
        return standing_of(sites, opened, asset, of, past_of(of), usual, drills[opened.id])

    return stands


def _facts(sites: DeclaredSites, asset: DeclaredAsset, stands: Stands) -> ObjectiveFacts:
    from holdfast.cli.facts.objectives import objective_facts
    from holdfast.control.authority.guarding import guard
    from holdfast.errors import NotFoundError, StoreUnreachableError
    from holdfast.training.intervals.status import interval_status

    try:
        vault = sites.open_at(asset.home)
        guard(vault, "objective.show", asset=asset.name)
        found = interval_status(vault, asset.name, asset.owed.rpo.value)
        return objective_facts(asset, found, stood=stands(vault, asset, found.usual_seconds))
    except (StoreUnreachableError, NotFoundError) as error:  # the others are shown all the same
        return objective_facts(asset, None, error.message, stands(None, asset, None))
