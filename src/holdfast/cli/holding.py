"""`holdfast snapshot hold` and `unhold`."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, from_rfc3339
from holdfast.errors import UsageError
from holdfast.units import parse_duration

__all__ = ["add_to"]

Held = Annotated[str, typer.Argument(metavar="REF", help="A snapshot, as for `show`.")]


def hold(
    context: typer.Context,
    ref: Held,
    vault: VaultOption,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: whoever wants it gone reads this.")],
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="A time (2027-01-01T00:00Z) or how long (30d).")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold a snapshot: neither retention nor `drop` touches it, or a component of it, until the hold ends.

    Holding it again changes the reason and the end.
    """
    from holdfast.cli.facts.retention import held_facts
    from holdfast.cli.views.retention import held_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    end = None if until is None else _end(until)
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "hold", reference=ref).reference
    root = opened.find(ref)
    record = held_facts(root, opened.hold(root.id, reason, until_ns=end))
    output.give(record, held_lines)
    output.finish(f"held {record.snapshot}")


def unhold(
    context: typer.Context,
    ref: Held,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """End the hold of a snapshot. Needs the keeper's key."""
    from holdfast.cli.facts.retention import unheld_facts
    from holdfast.cli.views.retention import unheld_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "unhold", reference=ref).reference
    root = opened.find(ref)
    record = unheld_facts(root, opened.unhold(root.id))
    output.give(record, unheld_lines)
    output.finish(f"no longer held: {record.snapshot}")


def _end(text: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        pass
    try:
        return SYSTEM_CLOCK.now_ns() + round(parse_duration(text) * NANOSECONDS)
    except UsageError as error:
        raise UsageError(
            f"--until {text!r} is neither a time nor a duration", hint="for example 2027-01-01T00:00Z, or 30d"
        ) from error


def add_to(app: typer.Typer) -> None:
    """Make the commands part of `holdfast snapshot`."""
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))(hold)
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 4, 6, 7, 8, _3="not found: no such snapshot, or no hold"))(
        unhold
    )
