"""`holdfast lock moments` and `lock restore`: what the vault was before, and out of it, before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Overwrite, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.references import Reference
from holdfast.clock import from_rfc3339
from holdfast.errors import UsageError

__all__ = ["add_to", "parse_time"]


def parse_time(text: str) -> int:
    """A time on the command line, in ns. Raises UsageError."""
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no time", hint="for example 2026-11-20T10:00Z") from error


def moments(
    context: typer.Context,
    vault: VaultOption,
    whole: Annotated[bool, typer.Option("--all", help="Go on after the newest one that is whole.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=1000, help="At most so many.")] = 20,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the newest moment at which the vault was whole, by the versions that the store keeps.

    Looks at the present, then just before each time something was overwritten or deleted that is written once, until
    the vault is whole: it opens, what snapshots need is sound, and none is missing that was locked. Changes nothing.
    """
    from holdfast.cli.facts.locks import moments_facts
    from holdfast.cli.views.locks import moments_lines
    from holdfast.control.audit.audited_vault import audited
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import moments_of, open_past_vault
    from holdfast.stores.retention.opening import open_lockable

    output: Output = context.obj
    options = pairs(store_option, "--store-option")
    store = open_lockable(vault, options=options, note=output.progress.note)
    found = moments_of(store, most=most, past_whole=whole, progress=output.progress)
    opened = next((one for one in found if not one.error), None)
    if opened is not None:
        guard(audited(open_past_vault(store, opened.time_ns, progress=output.progress)), "vault.info", logs=())
    record = moments_facts(store.url, found)
    output.give(record, moments_lines)
    if record.newest_whole is None:
        output.finish(f"looked at {count(len(found), 'moment')}: the vault was whole at none of them,")
        raise typer.Exit(9)
    output.say(f"to look into it: holdfast lock restore REF TARGET --at {record.newest_whole} …")
    output.finish(f"looked at {count(len(found), 'moment')}: whole at {record.newest_whole},")


def restore(
    context: typer.Context,
    ref: Reference,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new or empty folder.")],
    vault: VaultOption,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="As the vault was then: 2026-11-20T10:00Z.")],
    only: Annotated[
        str | None, typer.Option("--only", metavar="GLOB", help="Only files (and folders) whose path matches.")
    ] = None,
    overwrite: Overwrite = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore a snapshot from the vault as it was at TIME, by the store's clock, into TARGET.

    Reads older versions of what was overwritten or deleted since. Nothing in the vault changes, and it need not open as
    it is now. `lock moments` finds a TIME; `lock recover` makes the vault what it was.
    """
    from holdfast.cli.facts.moves import restored_facts
    from holdfast.cli.views.moves import restored_lines
    from holdfast.control.audit.audited_vault import audited, recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import open_past_vault
    from holdfast.stores.retention.opening import open_lockable
    from holdfast.vault.handle import Handle
    from holdfast.vault.vault import Vault

    output: Output = context.obj
    time_ns = parse_time(at)
    options = pairs(store_option, "--store-option")
    store = open_lockable(vault, options=options, note=output.progress.note)
    past = open_past_vault(store, time_ns, progress=output.progress)
    ref = guard(audited(past), "restore", reference=ref, logs=()).reference
    # Into the log as it is now, if there is one: the past takes no entries.
    now = audited(Vault(Handle(store, past.handle.keys, past.handle.clock, output.progress)))
    with recorded_on(now, "restore", objects={"snapshot": ref, "as of": at}, names={"target": str(Path(target))}):
        record = restored_facts(past.restore(ref, target, only=only, overwrite=overwrite))
    output.give(record, restored_lines)
    output.finish(f"restored {record.snapshot.id} as of {at}")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the noun."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            2,
            7,
            8,
            _3="not found: no such vault",
            _5="refused: this store keeps no versions",
            _9="not met: the vault was whole at none of these moments",
        ),
    )(moments)
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            2,
            7,
            8,
            _3="not found: no vault or snapshot at that time, or nothing matches",
            _4="damage found: nothing appeared",
            _5="refused: TARGET exists, or this store keeps no versions",
        ),
    )(restore)
