"""`holdfast snapshot verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.fanning import FanoutOption, bulk_on
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.rota import verify_in_turn
from holdfast.errors import UsageError

__all__ = ["add_to"]


def verify(
    context: typer.Context,
    vault: VaultOption,
    ref: Annotated[str, typer.Argument(metavar="[REF]", help="A snapshot, as for `show`; not with --rota.")] = "",
    accept_findings: Annotated[
        bool, typer.Option("--accept-findings", help="Let `validated` move to it in spite of what was found at save.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare statistics and headers with what the manifest says of them, too.")
    ] = False,
    rota: Annotated[bool, typer.Option("--rota", help="Verify those that most need it, and name none.")] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="SIZE", help="With --rota: read back so much: 10GiB.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="With --rota: verify so many.")
    ] = None,
    worth: Annotated[
        list[str] | None,
        typer.Option("--worth", metavar="ASSET=N", help="With --rota: how much an asset matters (1); repeatable."),
    ] = None,
    replica: Annotated[
        list[str] | None,
        typer.Option("--replica", metavar="URL", help="With --rota: what is there, too, is less urgent; repeatable."),
    ] = None,
    fanout: FanoutOption = "threads",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --rota: show the order and why; read nothing.")
    ] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a snapshot back from the store, all of it, and compare it with what was saved.

    If it is good and the newest to be so, `validated` moves to it. A snapshot with findings moves it only with
    --accept-findings. With --rota, snapshots are verified in the order of worth x age of the last proof / copies.
    """
    from holdfast.cli.facts.snapshots import verified_facts
    from holdfast.cli.views.snapshots import verified_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    options = pairs(store_option, "--store-option")
    opened = open_at(vault, options=options, progress=output.progress)
    ref = guard(opened, "verify", reference=ref or None).reference
    if rota != (not ref) or (rota and (deep or accept_findings)):
        raise UsageError("verify takes a snapshot or --rota", hint="--deep and --accept-findings are for one snapshot")
    if fanout != "threads" and (rota or deep):
        raise UsageError("--fanout is for reading one snapshot back, without --rota and --deep")
    if not rota and (budget or number or worth or replica or dry_run):
        raise UsageError("--budget, --count, --worth, --replica and --dry-run are for --rota")
    if rota:
        verify_in_turn(
            output, opened, worth=worth, budget=budget, count=number, replicas=replica or (), dry_run=dry_run
        )
        return
    bulk = bulk_on(fanout, output)
    reading = None
    if bulk is not None:
        from holdfast.control.bulk.spreading import place_at

        reading = bulk.reading(opened, place_at(opened.handle.store, options))
    report = opened.verify(ref, accept_findings=accept_findings, deep=deep, reading=reading)
    record = verified_facts(opened, report, deep=deep, bulk=bulk)
    output.give(record, verified_lines)
    if record.deep:
        output.finish(f"verified {record.snapshot.id}: its manifest and its bytes differ,")
        raise typer.Exit(4)
    if record.findings and not record.validated:
        output.warn("`validated` did not move: --accept-findings would move it")
    output.finish(f"verified {record.snapshot.id}: it is what was saved,")


def add_to(app: typer.Typer) -> None:
    """Make it part of the noun."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            1,
            2,
            3,
            6,
            7,
            8,
            _0="it is good",
            _4="damage found: the message names it",
            _5="refused: with --fanout, a machine sees another vault",
        ),
    )(verify)
