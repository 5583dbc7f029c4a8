"""`holdfast site create`: a new set of stripes, and the vault in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.site_options import ConfigOption, open_declared

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]


def create(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="An asset that holdfast.yaml declares in stripes.")],
    no_encryption: Annotated[
        bool, typer.Option("--no-encryption", help="For public data: signed and checked, but readable by everybody.")
    ] = False,
    suite: Annotated[
        int,
        typer.Option("--suite", metavar="N", min=1, max=2, help="Keys, as for `holdfast vault create`."),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made; write nothing.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the set of stripes of an asset over its sites, all of them new and empty, and the vault in it.

    Assets that are declared over the same stores share it. The keeper's key file goes to
    $XDG_CONFIG_HOME/holdfast/keys (or where HOLDFAST_KEY_FILE points). Losing it loses the data.
    """
    from holdfast.cli.facts.site_creating import site_created_facts
    from holdfast.cli.views.sites import site_created_lines
    from holdfast.control.sites.creating import apply_creation, plan_creation
    from holdfast.trust.suites import Suite, suite_of

    output: Output = context.obj
    sites = open_declared(config, output)
    plan = plan_creation(sites, asset)
    chosen = Suite.PLAIN if no_encryption else suite_of(suite)
    if dry_run or plan.refusals:
        output.give(site_created_facts(plan, chosen), site_created_lines)
    if dry_run:
        output.finish("dry run: nothing was made,")
        return
    created = apply_creation(sites, plan, encryption=not no_encryption, suite=suite_of(suite))
    output.give(site_created_facts(plan, chosen, created), site_created_lines)
    if chosen is not Suite.PLAIN:
        output.warn("losing the key file loses the data: copy it to a safe place now")
    output.finish(f"created vault {created.vault.id} in stripes")


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            7,
            8,
            _2="usage: the asset is declared as whole copies",
            _3="not found: no holdfast.yaml, no such asset",
            _5="refused: the stripes are there already, or something else is at a store",
        ),
    )(create)
