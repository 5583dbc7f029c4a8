"""`holdfast site`: the sites that `holdfast.yaml` declares, what they hold, what is exposed, and keeping them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.fanning import FanoutOption, fanout_at
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_changes import add_to as add_changes
from holdfast.cli.site_compute import add_to as add_compute
from holdfast.cli.site_creating import add_to as add_creating
from holdfast.cli.site_exposure import add_to as add_exposure
from holdfast.cli.site_options import AssetOption, ConfigOption, SiteName, chosen_assets, open_declared
from holdfast.units import parse_duration

if TYPE_CHECKING:
    from holdfast.control.sites.following import SitesRound

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="See the sites that holdfast.yaml declares, and keep them alike.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command("list", cls=Command, epilog=exit_codes(0, 2, 5, _3="not found: no holdfast.yaml"))
def list_(context: typer.Context, config: ConfigOption = None, json: Json = False, quiet: Quiet = False) -> None:
    """List the declared sites, and how many assets have their home or a copy at each. Asks no store."""
    from holdfast.cli.facts.sites import site_list_facts
    from holdfast.cli.views.sites import site_list_lines

    output: Output = context.obj
    sites = open_declared(config, output, ask=False)
    record = site_list_facts(sites, sites.site_names())
    output.give(record, site_list_lines)
    output.finish(f"{count(len(record.sites), 'site')} in {record.config}")


@app.command(cls=Command, epilog=exit_codes(0, 2, 5, 7, 8, _3="not found: no holdfast.yaml, no such site"))
def show(
    context: typer.Context, site: SiteName, config: ConfigOption = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Show one site: its stores, whether they answer, what they hold, and which assets lie there."""
    from holdfast.cli.facts.sites import site_list_facts
    from holdfast.cli.views.sites import site_show_lines
    from holdfast.control.sites.following import look_at_site

    output: Output = context.obj
    sites = open_declared(config, output)
    sites.require_site(site)
    record = site_list_facts(sites, [site], look_at_site(sites, site))
    output.give(record, site_show_lines)
    output.finish(f"{site} of {record.config}")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 2, 5, 7, 8, _3="not found: no holdfast.yaml, no vault", _9="with --check: some asset is exposed by more"
    ),
)
def status(
    context: typer.Context,
    asset: AssetOption = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 9 unless every objective is met.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how far every store is with every asset, and what would be lost if a site died now.

    What counts is what was read back at a store that would survive. Without that the loss is NOT MEASURED, and the age
    of what has arrived stands in brackets. A store that does not answer is taken for lost.
    """
    from holdfast.cli.facts.sites import site_status_facts
    from holdfast.cli.views.sites import site_status_lines
    from holdfast.control.sites.following import SiteFollower

    output: Output = context.obj
    sites = open_declared(config, output)
    follower = SiteFollower(sites, chosen_assets(sites, asset))
    record = site_status_facts(sites, follower.status())
    output.give(record, site_status_lines)
    missed = [one for one in record.exposures if one.met is not True and one.rpo is not None]
    waiting = f", {count(len(record.copies), 'copy')} to do" if record.copies else ""
    output.finish(f"{count(len(missed), 'objective')} not shown to be met{waiting},")
    if check and missed:
        raise typer.Exit(9)


@app.command(
    cls=Command,
    epilog=exit_codes(
        2,
        5,
        7,
        8,
        _0="every store has what it owes; with --every: ended by a signal",
        _1="some copy could not be made: the output names it",
        _3="not found: no holdfast.yaml, no vault, no such asset",
    ),
)
def sync(
    context: typer.Context,
    asset: AssetOption = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="Go on, a round each 60s, until Ctrl-C.")
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not read back what arrives.")] = False,
    fanout: FanoutOption = "threads",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied; write nothing.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy what stores lack of the assets that are declared to lie there, and read the newest back.

    Each asset's home says what there is; any store that has a snapshot can give it. What matters most goes first.
    Interrupted, or with stores that do not answer, the next round goes on; nothing is sent twice. With --fanout, the
    machines of a cluster carry the packs of whole copies.
    """
    from holdfast.cli.facts.sites import planned_sync_facts, synced_facts
    from holdfast.cli.views.sites import site_synced_lines
    from holdfast.cli.watch_signals import stop_on_signals
    from holdfast.control.sites.following import SiteFollower

    output: Output = context.obj
    seconds = parse_duration(every) if every is not None else None
    sites = open_declared(config, output)
    follower = SiteFollower(
        sites, chosen_assets(sites, asset), verify=not no_verify, fanout=None if dry_run else fanout_at(fanout)
    )

    def tell(report: SitesRound) -> None:
        output.give(synced_facts(sites, report, clock.now_ns(), follower.carriers), site_synced_lines)

    clock = follower.vault.handle.clock
    if dry_run:
        record = planned_sync_facts(sites, follower.status(), follower.striped.plan())
        output.give(record, site_synced_lines)
        output.finish("dry run: nothing was copied,")
        return
    settled = True
    if seconds is None:
        report = follower.run_round()
        settled = report.settled
        tell(report)
    else:
        output.say(f"a round each {every}; Ctrl-C ends it after the round that runs")
        with stop_on_signals() as stop:
            follower.run(seconds, stop, tell)
    output.finish("every store has what it owes," if settled else "NOT every store has what it owes,")
    if not settled:
        raise typer.Exit(1)


add_compute(app)
add_exposure(app)
add_creating(app)
add_changes(app)
