"""`holdfast vault collect`: free what no snapshot needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.fanning import FanoutOption, bulk_on
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultUrl, pairs, percentage
from holdfast.cli.output import Output

__all__ = ["collect"]


def collect(
    context: typer.Context,
    url: VaultUrl,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    rewrite_below: Annotated[
        str,
        typer.Option("--rewrite-below", metavar="SHARE", help="Rewrite packs of which less is needed."),
    ] = "50%",
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Rewrite no packs.")] = False,
    budget: Annotated[str, typer.Option("--budget", metavar="SIZE", help="Most bytes to rewrite, or to compare.")] = (
        "4GiB"
    ),
    give_up: Annotated[
        list[str] | None,
        typer.Option(
            "--give-up", metavar="KEY", help="An unreadable root, part or pack: what it needs may be lost; repeatable."
        ),
    ] = None,
    no_waiting: Annotated[
        bool,
        typer.Option(
            "--no-waiting", help="Delete at once: only when nobody else uses this vault. Asks, without --yes."
        ),
    ] = False,
    fanout: FanoutOption = "threads",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Free what no snapshot needs any more: run it every day.

    Safe beside saves and copies. What nothing needs is condemned, and deleted by a later run when a day has passed, no
    save that began before is still running, and nothing needs it again. Packs that are mostly dead are rewritten first.
    Needs the keeper's key. With --fanout, the machines of a cluster read and rewrite packs.
    """
    from holdfast.cli.facts.collecting import collected_facts
    from holdfast.cli.views.collecting import collected_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.errors import RefusedError
    from holdfast.units import format_size, parse_size
    from holdfast.vault.collecting.collect import CollectOptions
    from holdfast.vault.collecting.safety import FULL, NONE

    output: Output = context.obj
    options = CollectOptions(
        safety=NONE if no_waiting else FULL,
        rewrite_below=0.0 if no_rewrite else percentage(rewrite_below),
        budget=parse_size(budget),
        give_up=frozenset(give_up or ()),
    )
    at = pairs(store_option, "--store-option")
    vault = open_at(url, options=at, progress=output.progress)
    guard(vault, "retention.plan" if dry_run else "collect")
    if no_waiting and not (yes or dry_run):
        output.pause()
        try:
            alone = typer.confirm("Is nobody else saving to this vault, or copying to it?", err=True)
        except typer.Abort:  # nobody is there to answer
            alone = False
            typer.echo(err=True)
        if not alone:
            raise RefusedError(
                "not collected: only when nobody else uses the vault may all be deleted at once",
                hint="without --no-waiting it is safe at any time; --yes says so without being asked",
            )
    bulk = None if dry_run else bulk_on(fanout, output)
    helpers = None
    if bulk is not None:
        from holdfast.control.bulk.spreading import place_at

        helpers = bulk.helpers(vault, place_at(vault.handle.store, at))
    report = vault.collect(options, dry_run=dry_run, helpers=helpers)
    record = collected_facts(vault, report, bulk)
    output.give(record, collected_lines)
    if dry_run:
        output.finish(f"looked at vault {record.vault}: {format_size(record.condemned.bytes)} would be condemned")
    else:
        output.finish(f"collected vault {record.vault}: {format_size(record.deleted.bytes)} freed")
