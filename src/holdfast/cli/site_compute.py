"""`holdfast site compute`: which machines are there now; `holdfast site standby`: data that stand ready on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]


def compute(
    context: typer.Context,
    site: Annotated[
        str | None, typer.Argument(metavar="[SITE]", help="A site of the file; by default all of them.")
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Probe the machines of the sites: how many of each shape stand ready, are free, or taken, and by whom.

    All are asked at once, and nothing is changed: it is what a plan of a recovery sees. Asks no store.
    """
    from holdfast.cli.facts.computes import site_compute_facts
    from holdfast.cli.views.computes import site_compute_lines
    from holdfast.control.recovering.probing_compute import probe_pools

    output: Output = context.obj
    sites = open_declared(config, output, ask=False)
    if site is not None:
        sites.require_site(site)
    names = [site] if site is not None else sites.site_names()
    probed, problems = probe_pools(sites, names)
    record = site_compute_facts(sites, names, probed, problems)
    output.give(record, site_compute_lines)
    silent = f", {len(problems)} not" if problems else ""
    output.finish(f"probed {count(len(probed), 'pool')} of machines{silent},")
    if problems:
        raise typer.Exit(1)


def standby(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="An asset with a `service` that has a `standby`.")],
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="Where; needed where it has standbys at several.")
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a hot standby up to date: its newest good snapshot is restored beside, compared, and put in place.

    For a timer, as often as the asset is saved. What a recovery has, or a service, is left alone.
    """
    from holdfast.cli.facts.computes import site_standby_facts
    from holdfast.cli.views.computes import site_standby_lines
    from holdfast.control.recovering.standby import refresh_standby

    output: Output = context.obj
    sites = open_declared(config, output)
    service = sites.asset(asset).owed.asset.service
    declared = list(service.standby) if service is not None else []
    if site is None and len(declared) != 1:
        raise UsageError(f"{asset} has {count(len(declared), 'place')} for a standby", hint="--site SITE names one")
    where = site if site is not None else declared[0]
    sites.require_site(where)
    standing, refreshed = refresh_standby(sites, asset, where)
    output.give(site_standby_facts(sites, where, standing, refreshed), site_standby_lines)
    output.finish(f"{'put' if refreshed else 'found'} {standing.snapshot} in place at {where},")


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(0, 2, 5, _1="some pool did not answer: the output names it", _3="not found: no such site"),
    )(compute)
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            2,
            4,
            7,
            8,
            _3="not found: no such asset or standby, no snapshot that was read back",
            _5="refused: a recovery, or something else, has the folder",
        ),
    )(standby)
