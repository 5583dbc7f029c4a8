"""`holdfast snapshot`: tag, drop, quarantine, release."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.references import Reference

__all__ = ["add_to"]


def tag(
    context: typer.Context,
    ref: Reference,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tag: asset@NAME then refers to the snapshot.")],
    vault: VaultOption,
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag off again.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give a snapshot a tag. A tag is on one snapshot of an asset at a time. A tagged snapshot is not dropped."""
    from holdfast.cli.facts.plans import tagged_facts
    from holdfast.cli.views.snapshots import tagged_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.snapshots.tagging import change_tag
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "tag", reference=ref).reference
    record = tagged_facts(change_tag(opened, ref, name, remove=remove))
    output.give(record, tagged_lines)
    output.finish(f"{'removed the tag from' if remove else 'tagged'} {record.snapshot}")


def drop(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drop a snapshot, for good. Its data stays until it is collected, and as long as another snapshot needs it.

    Needs the keeper's key. The newest validated snapshot and tagged ones are never dropped.
    """
    from holdfast.cli.facts.plans import dropped_facts
    from holdfast.cli.views.snapshots import dropped_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "drop", reference=ref).reference
    plan = opened.plan_drop(ref)
    if not dry_run:
        opened.apply_drop(plan)
    record = dropped_facts(plan, dry_run=dry_run)
    output.give(record, dropped_lines)
    output.finish("dry run: nothing was changed," if dry_run else f"dropped {record.snapshot.id}")


def quarantine(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: whoever finds it aside reads this.")],
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set a snapshot aside: nothing but its id (or a tag) refers to it, and asset@validated is the good one before it.

    Needs a key that writes; one that cannot read names the snapshot as ASSET@ID.
    """
    from holdfast.cli.facts.quarantines import quarantined_facts
    from holdfast.cli.views.quarantines import quarantined_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "quarantine", reference=ref).reference
    record = quarantined_facts(opened.quarantine(ref, reason))
    output.give(record, quarantined_lines)
    output.finish(f"quarantined {record.snapshot}")


def release(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take back that a snapshot was quarantined by hand, or demoted. Verifying it then moves `validated` to it.

    Needs a key that writes; one that cannot read names the snapshot as ASSET@ID.
    """
    from holdfast.cli.facts.quarantines import released_facts
    from holdfast.cli.views.quarantines import released_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "release", reference=ref).reference
    record = released_facts(opened.release(ref))
    output.give(record, released_lines)
    output.finish(f"released {record.snapshot}")


def add_to(app: typer.Typer) -> None:
    """Make them part of the noun."""
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))(tag)
    app.command(
        cls=Command,
        epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8, _5="refused: it is tagged, or it is what `validated` points to"),
    )(drop)
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))(quarantine)
    app.command(
        cls=Command, epilog=exit_codes(0, 1, 2, 4, 6, 7, 8, _3="not found: no such snapshot, or it is not aside")
    )(release)
