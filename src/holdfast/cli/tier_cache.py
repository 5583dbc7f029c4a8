"""`holdfast tier cache`: what a store at a recovery site holds, so that restores there are fast and cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, PricesOption, open_declared
from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import UsageError
from holdfast.units import format_size, parse_size

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.control.sites.caching import CachePlanned
    from holdfast.control.sites.tiers import SiteTiers
    from holdfast.replication.tiering.moving import Moved

__all__ = ["app"]

app = typer.Typer(
    cls=Group, help="Keep at a recovery site what is worth most there.", rich_markup_mode=None, no_args_is_help=True
)  # fmt: skip
Site = Annotated[str, typer.Option("--site", metavar="SITE", help="The recovery site.")]
Store = Annotated[
    str, typer.Option("--store", metavar="STORE", help="Which of its stores; the fastest that no copies come to.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="SIZE", help="It may hold so much; by default as it was said last.")
]
HourPrice = Annotated[
    float,
    typer.Option("--hour-price", metavar="MONEY", min=0, show_default=True, help="What an hour of waiting costs you."),
]
_NOT_FOUND = "not found: no holdfast.yaml, no vault, no such site"


@app.command(cls=Command, epilog=exit_codes(0, 2, 4, 5, 7, 8, _3=_NOT_FOUND))
def plan(
    context: typer.Context,
    site: Site,
    budget: Budget = None,
    store: Store = "",
    hour_price: HourPrice = 100.0,
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a cache at the site would hold, why, and what has to be copied and dropped for it. Writes nothing.

    First the newest proven snapshot of each asset that could not be restored there in time without it; then what saves
    most money and time for each byte, by how often it is read.
    """
    output: Output = context.obj
    tiers = _open(config, prices, output)
    wanted = _planned(tiers, site, budget, store, hour_price)
    _give(output, wanted, None, dry_run=True)
    output.finish(f"{count(len(wanted.planned.plan.moves), 'move')} planned,")


@app.command(
    cls=Command,
    epilog=exit_codes(0, 2, 4, 5, 6, 7, 8, _1="something was held back: say it again to go on", _3=_NOT_FOUND),
)
def apply(
    context: typer.Context,
    site: Site,
    budget: Budget = None,
    store: Store = "",
    hour_price: HourPrice = 100.0,
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fill the cache: drop what is worth less, copy what is worth more, and read it back.

    Nothing is dropped that no other store holds whole. Restores on machines of the site (HOLDFAST_SITE) read from the
    cache without being told.
    """
    output: Output = context.obj
    tiers = _open(config, prices, output)
    _carry_out(output, tiers, _planned(tiers, site, budget, store, hour_price))


@app.command(cls=Command, epilog=exit_codes(0, 2, 4, 5, 7, 8, _3=_NOT_FOUND))
def status(context: typer.Context, config: ConfigOption = None, json: Json = False, quiet: Quiet = False) -> None:
    """Show the caches that this machine fills: what they should hold, what is there, and the bytes that lie there."""
    from holdfast.cli.facts.tier_caches import status_facts
    from holdfast.cli.views.tier_caches import status_lines
    from holdfast.control.sites.caching import cache_status

    output: Output = context.obj
    record = status_facts(cache_status(_open(config, None, output)), SYSTEM_CLOCK.now_ns())
    output.give(record, status_lines)
    output.finish(f"{count(len(record.caches), 'cache')},")


@app.command(
    cls=Command,
    epilog=exit_codes(0, 2, 4, 5, 6, 7, 8, _1="something was held back: say it again to go on", _3=_NOT_FOUND),
)
def clear(
    context: typer.Context,
    site: Site,
    store: Store = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Empty the cache: drop all that other stores hold whole. Its bytes are freed by collections of that store."""
    output: Output = context.obj
    tiers = _open(config, None, output)
    _carry_out(output, tiers, _planned(tiers, site, "0B", store, 0.0))


def _open(config: str | None, prices: Path | None, output: Output) -> SiteTiers:
    from holdfast.control.sites.tiers import SiteTiers

    sites = open_declared(config, output)
    return SiteTiers(sites, list(sites.assets.values()), prices)


def _planned(tiers: SiteTiers, site: str, budget: str | None, store: str, hour_price: float) -> CachePlanned:
    from holdfast.control.sites.caching import plan_cache

    if not hour_price < 1e9:
        raise UsageError(f"an hour of waiting cannot cost {hour_price}", hint="--hour-price 100")
    size = None if budget is None else parse_size(budget)
    return plan_cache(tiers, site, size, store=store, hour_price=hour_price)


def _carry_out(output: Output, tiers: SiteTiers, wanted: CachePlanned) -> None:
    from holdfast.control.sites.caching import apply_cache

    moved = apply_cache(tiers, wanted)
    _give(output, wanted, moved, dry_run=False)
    held = len(moved.held) + len(wanted.held)
    copied = format_size(sum(size for _, size in moved.copies.values()))
    output.finish(
        f"{wanted.store}: {count(len(moved.done), 'move')} made, {copied} copied{f', {held} NOT made' if held else ''},"
    )
    if held:
        raise typer.Exit(1)


def _give(output: Output, wanted: CachePlanned, moved: Moved | None, *, dry_run: bool) -> None:
    from holdfast.cli.facts.tier_caches import planned_facts
    from holdfast.cli.views.tier_caches import planned_lines

    output.give(planned_facts(wanted, moved, dry_run=dry_run), planned_lines)
