"""`holdfast replicate`: copy a vault to another site."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.fanning import FanoutOption, bulk_on
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import UsageError
from holdfast.units import parse_rate

__all__ = ["add_to"]


def replicate(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The vault: a path or URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Where the copy is, or will be: a path or URL.")],
    asset: Annotated[
        str | None, typer.Option("--asset", metavar="NAME", help="Only the snapshots of this asset.")
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="RATE", help="Use no more of the line than this: 100MiB/s, 1Gbit/s."),
    ] = None,
    fanout: FanoutOption = "threads",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied; write nothing.")] = False,
    store_option: StoreOptions = None,
    to_store_option: Annotated[
        list[str] | None,
        typer.Option("--to-store-option", metavar="K=V", help="An option of the store TO; repeatable."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy a vault to another place, which then opens with the same keys.

    What TO has already is not sent again, and an interrupted copy goes on where it was. With a key that reads,
    snapshots are copied one by one, the newest first; without, all objects are. Every object is checked on the way.
    With --fanout, the machines of a cluster copy packs.
    """
    from holdfast.cli.facts.moves import replicated_facts, replication_plan_facts
    from holdfast.cli.views.moves import replicated_lines
    from holdfast.control.authority.guarding import guard, guard_mirror
    from holdfast.control.sites.ruled_places import find_rules
    from holdfast.control.vaults.replicating import copy_vault, open_source, open_target, plan_copy

    output: Output = context.obj
    rate = parse_rate(limit) if limit is not None else None
    if rate is not None and fanout != "threads":
        raise UsageError("--limit is for one line, and with --fanout each machine uses its own")
    here, to = pairs(store_option, "--store-option"), pairs(to_store_option, "--to-store-option")
    opened = open_source(source, options=here, progress=output.progress)
    if opened.vault is not None:
        guard(opened.vault, "replicate", asset=asset, to=target)
    else:
        guard_mirror(opened.store, to=target, progress=output.progress)
    there = open_target(
        target,
        options=to,
        bytes_per_second=rate,
        progress=output.progress,
    )
    rules = find_rules(opened.store)
    if rules is not None:
        rules.require_store(there, "a replica")
    if dry_run:
        record = replication_plan_facts(opened, there, asset, plan_copy(opened, there, asset=asset))
    else:
        bulk = bulk_on(fanout, output)
        carrier = None
        if bulk is not None:
            from holdfast.control.bulk.spreading import place_at

            carrier = bulk.carrier(place_at(opened.store, here), place_at(there, to))
        copied = copy_vault(opened, there, asset=asset, carrier=carrier, progress=output.progress)
        record = replicated_facts(opened, there, asset, copied, bulk)
    output.give(record, replicated_lines)
    hurt = f", {count(len(record.damaged), 'damaged object')} at the source," if record.damaged else ""
    output.finish("dry run: nothing was copied," if dry_run else f"replicated to {record.target}{hurt}")
    if record.damaged or record.left_out:
        raise typer.Exit(4)


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            2,
            6,
            7,
            8,
            _3="not found: no vault at FROM, no such asset",
            _4="damage found at FROM: all the rest was copied, the output names it",
            _5="refused: TO holds another vault, or lies where a rule forbids",
        ),
    )(replicate)
