"""`holdfast tier`: which snapshots lie on which stores of a site, why, and moving them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count, short_id
from holdfast.cli.site_options import AssetOption, ConfigOption, PricesOption, chosen_assets, open_declared
from holdfast.cli.tier_cache import app as cache_app
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, from_rfc3339, to_rfc3339
from holdfast.errors import UsageError
from holdfast.stores.archives.port import Speed
from holdfast.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.control.sites.tiers import SiteTiers
    from holdfast.control.vaults.archived import ArchivedPacks

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Move snapshots between hot, warm and cold stores, and say why.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(cache_app, name="cache")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; write nothing.")]
_NOT_FOUND = "not found: no holdfast.yaml, no vault, no such asset"


@app.command(cls=Command, epilog=exit_codes(0, 2, 4, 5, 7, 8, _3=_NOT_FOUND))
def plan(
    context: typer.Context,
    asset: AssetOption = None,
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show which snapshots should be copied or dropped where, why, and what that costs. Writes nothing.

    A copy from which the RTO cannot be met at a measured rate is none of those that an asset owes. What nobody has
    measured within 30 days is NOT_MEASURED: `holdfast tier measure`, and each `holdfast site sync`, measures.
    """
    from holdfast.control.sites.tiers import SiteTiers

    output: Output = context.obj
    sites = open_declared(config, output)
    _give_plan(output, SiteTiers(sites, chosen_assets(sites, asset), prices))


@app.command(cls=Command, epilog=exit_codes(0, 2, 4, 5, 7, 8, _3="not found: no holdfast.yaml, no such snapshot"))
def explain(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="ASSET[@REF]", help="An asset, or one snapshot of it.")],
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say why each snapshot of an asset lies where it lies: what moves, and what does not."""
    from holdfast.cli.facts.tiers import explained_facts
    from holdfast.cli.views.tiers import explained_lines
    from holdfast.control.sites.tiers import SiteTiers

    output: Output = context.obj
    sites = open_declared(config, output)
    tiers = SiteTiers(sites, [sites.asset(ref.partition("@")[0])], prices)
    planned = tiers.plan()
    record = explained_facts(planned, tiers.decisions(planned, ref))
    output.give(record, explained_lines)
    output.finish(f"{count(len(record.decisions), 'snapshot')} of {ref.partition('@')[0]}")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 2, 4, 5, 6, 7, 8, _1="some move was not made: the output says why; say it again to go on", _3=_NOT_FOUND
    ),
)
def apply(
    context: typer.Context,
    asset: AssetOption = None,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Carry the plan out: copy, read back, and only then drop.

    Each move is looked at again just before it is made. Interrupted anywhere, the next run goes on. What nobody needs
    any more is freed by `holdfast vault collect` of that store.
    """
    from holdfast.cli.facts.tiers import applied_facts
    from holdfast.cli.views.tiers import applied_lines
    from holdfast.control.sites.tiers import SiteTiers

    output: Output = context.obj
    sites = open_declared(config, output)
    tiers = SiteTiers(sites, chosen_assets(sites, asset), prices)
    if dry_run:
        _give_plan(output, tiers)
        return
    planned = tiers.plan()
    moved = tiers.apply(planned)
    output.give(applied_facts(planned, moved, SYSTEM_CLOCK.now_ns()), applied_lines)
    held = f", {count(len(moved.held), 'move')} NOT made," if moved.held else ""
    output.finish(f"{count(len(moved.done), 'move')} made{held}")
    if moved.held:
        raise typer.Exit(1)


@app.command(cls=Command, epilog=exit_codes(0, 2, 5, 7, 8, _1="nothing could be measured", _3=_NOT_FOUND))
def measure(
    context: typer.Context,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="SITE",
            envvar="HOLDFAST_SITE",
            show_envvar=True,
            help="Where this machine is; repeatable: sites whose machines get the same.",
        ),
    ] = None,
    sample: Annotated[str, typer.Option("--sample", metavar="SIZE", help="Read so much of each store.")] = "64MiB",
    store: Annotated[
        list[str] | None,
        typer.Option("--store", metavar="STORE", help="Only this store (use1/cold); repeatable."),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Write 16 MiB where too little lies, read and delete them.")
    ] = False,
    asset: AssetOption = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a sample from each store, and keep how fast that was, for the plans of this machine.

    Archives are read only when they are named. Less than 4 MiB measures nothing, so an empty store needs --probe:
    nothing is moved to a store of which nobody knows how fast it is.
    """
    from holdfast.cli.facts.tiers import measured_facts
    from holdfast.cli.views.tiers import measured_lines
    from holdfast.control.sites.measuring import measure as measure_stores
    from holdfast.control.sites.tiers import SiteTiers

    output: Output = context.obj
    size = parse_size(sample)
    sites = open_declared(config, output)
    tiers = SiteTiers(sites, chosen_assets(sites, asset))
    found = measure_stores(tiers, at or [], size, store or (), probe=probe)
    record = measured_facts(found, at or [], SYSTEM_CLOCK.now_ns())
    output.give(record, measured_lines)
    known = sum(one.rate is not None for one in record.measured)
    output.finish(f"{count(known, 'rate')} measured, {len(record.measured) - known} not,")
    if not known:
        raise typer.Exit(1)


@app.command(
    cls=Command,
    epilog=exit_codes(0, 2, 4, 5, 6, 7, 8, _1="it will be too late, or could not be copied", _3=_NOT_FOUND),
)
def prewarm(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="ASSET[@REF]", help="The newest snapshot of it, or this one.")],
    site: Annotated[str, typer.Option("--site", metavar="SITE", help="Where it is to be hot.")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHEN", help="A time (2027-01-01T00:00Z), or from now (2h).")
    ] = None,
    hold: Annotated[str, typer.Option("--for", metavar="TIME", help="It stays for so long after that.")] = "24h",
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", show_default=True, help="Wait for archives for so long at most.")
    ] = "24h",
    speed: Annotated[
        Speed, typer.Option("--speed", show_default=True, help="How archives are asked: soon costs more.")
    ] = Speed.STANDARD,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    prices: PricesOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Have a snapshot on the fastest store of a site by a time: before a drill, before a storm.

    By the measured rates it says when copying has to begin, and copies if that is now. Else the next `holdfast tier
    apply` copies it. No plan of this machine drops it before its time is over. Without --by: as soon as possible.
    What lies in an archive is asked for first, and waited for; broken off, or after --wait, say it again.
    """
    from holdfast.cli.facts.tiers import prewarmed_facts, thawing_facts
    from holdfast.cli.views.tiers import prewarmed_lines, thawing_lines
    from holdfast.control.sites.prewarming import Asking, Prewarmed, plan_prewarming
    from holdfast.control.sites.prewarming import prewarm as carry_out
    from holdfast.control.sites.thawing import look_at_archives
    from holdfast.control.sites.tiers import SiteTiers

    def told(found: Sequence[ArchivedPacks]) -> None:
        output.give(thawing_facts(found, SYSTEM_CLOCK.now_ns()), thawing_lines)

    output: Output = context.obj
    until = None if by is None else _moment(by)
    seconds = parse_duration(hold)
    asking = Asking(speed, parse_duration(wait), told)
    sites = open_declared(config, output)
    tiers = SiteTiers(sites, [sites.asset(ref.partition("@")[0])], prices)
    wanted = plan_prewarming(tiers, ref, site, until, seconds)
    looked = tuple(look_at_archives(tiers, wanted.planned)) if dry_run else ()
    moved, archives = Prewarmed(None, looked) if dry_run else carry_out(tiers, wanted, asking)
    by_ns = wanted.planned.facts.now_ns if until is None else until
    record = prewarmed_facts(ref.partition("@")[0], by_ns, wanted, moved, archives, dry_run=dry_run)
    output.give(record, prewarmed_lines)
    name = short_id(record.snapshot)
    if dry_run:
        output.finish("dry run: nothing was copied,")
    elif archives:
        packs = count(sum(len(one.packs) for one in archives), "pack")
        output.finish(f"{packs} asked for, and NOT readable yet: say it again,")
        raise typer.Exit(1)
    elif moved is None:
        output.finish(f"{name} is to be copied from {to_rfc3339(wanted.prewarm.start_ns)} on: `holdfast tier apply`,")
    else:
        output.finish(f"{name} is {'NOT ' if moved.held or wanted.prewarm.left_out else ''}at {record.store},")
    late = until is not None and record.in_time is False
    if wanted.prewarm.left_out or late or (moved is not None and moved.held):
        raise typer.Exit(1)


def _give_plan(output: Output, tiers: SiteTiers) -> None:
    from holdfast.cli.facts.tiers import planned_facts
    from holdfast.cli.views.tiers import planned_lines

    record = planned_facts(tiers.plan())
    output.give(record, planned_lines)
    output.finish(f"{count(len(record.moves), 'move')} of {count(record.snapshots, 'snapshot')} planned,")


def _moment(text: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        pass
    try:
        return SYSTEM_CLOCK.now_ns() + round(parse_duration(text) * NANOSECONDS)
    except UsageError as error:
        raise UsageError(
            f"--by {text!r} is neither a time nor a duration", hint="for example 2027-01-01T00:00Z, or 2h"
        ) from error
