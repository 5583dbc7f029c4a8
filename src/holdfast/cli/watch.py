"""`holdfast watch`: protect checkpoints of any framework as they become complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, NoVerify, Policy, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import UsageError
from holdfast.units import parse_duration

__all__ = ["add_to"]


def watch(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder that the training writes checkpoints to.")],
    vault: VaultOption,
    asset: Annotated[
        str, typer.Option("--asset", metavar="NAME", help="The asset that the checkpoints are states of.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Protect what is complete now, then end; for cron and the end of a job.")
    ] = False,
    replicate_to: Annotated[
        list[str] | None,
        typer.Option("--replicate-to", metavar="URL", help="Copy each snapshot there, too; repeatable."),
    ] = None,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", show_default=True, help="How often to look.")
    ] = "5s",
    settle: Annotated[
        str, typer.Option("--settle", metavar="TIME", show_default=True, help="How long a checkpoint must be quiet.")
    ] = "10s",
    pattern: Annotated[
        list[str] | None,
        typer.Option("--pattern", metavar="GLOB", help="Also protect files of such names; repeatable."),
    ] = None,
    policy: Policy = "warn",
    no_verify: NoVerify = False,
    store_option: StoreOptions = None,
    to_store_option: Annotated[
        list[str] | None,
        typer.Option("--to-store-option", metavar="K=V", help="An option of the --replicate-to stores; repeatable."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Protect checkpoints as they become complete, whatever framework writes them.

    Each is saved as a snapshot, read back, and copied to the other sites. Ctrl-C or SIGTERM ends it after the save that
    runs; a second Ctrl-C breaks off. With --json, one object per line says what happens.
    """
    from holdfast.cli.watch_lines import WatchTeller
    from holdfast.cli.watch_signals import stop_on_signals
    from holdfast.control.authority.guarding import guard
    from holdfast.control.snapshots.watching import WatchSettings, watch_folder
    from holdfast.control.vaults.opening import open_at
    from holdfast.control.vaults.replicating import open_target
    from holdfast.vault.saving.validation import Policy as SavePolicy

    output: Output = context.obj
    try:
        chosen = SavePolicy(policy)
    except ValueError as error:
        raise UsageError(f"{policy!r} is not a policy", hint="warn, refuse or quarantine") from error
    settings = WatchSettings(
        asset=asset,
        patterns=pattern or (),
        interval_seconds=parse_duration(interval),
        settle_seconds=parse_duration(settle),
        policy=chosen,
        verify=not no_verify,
    )
    there = pairs(to_store_option, "--to-store-option")
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "save", asset=asset)
    for url in replicate_to or ():
        guard(opened, "replicate", asset=asset, to=url)
    replicas = [open_target(url, options=there, progress=output.progress) for url in replicate_to or ()]
    teller = WatchTeller(output, Path(folder), opened.handle.clock)
    output.say(f"watching {folder} for {asset!r}; Ctrl-C ends it after the save that runs")
    with stop_on_signals() as stop:
        summary = watch_folder(
            opened,
            Path(folder),
            settings,
            replicas=replicas,
            once=once,
            stop=stop,
            events=teller,
            saved=teller.saved,
        )
    teller.stopped(summary)
    failed = f", {len(summary.failed):,} not" if summary.failed else ""
    output.finish(f"watched {folder}: {count(len(summary.protected), 'checkpoint')} protected{failed},")
    if summary.failed or summary.behind:
        raise typer.Exit(teller.exit_code)


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            2,
            3,
            7,
            8,
            _0="ended by a signal, or --once and all is protected",
            _1="some checkpoint, or its copy, could not be protected",
            _4="damage found: one did not read back as saved",
            _5="refused: validation found something and the policy is `refuse`",
        ),
    )(watch)
