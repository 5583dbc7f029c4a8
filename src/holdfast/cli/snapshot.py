"""`holdfast snapshot`: list, show and compare; the other verbs have files of their own."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.holding import add_to as add_holds
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output, no_collection
from holdfast.cli.phrases import count
from holdfast.cli.references import Reference
from holdfast.cli.snapshot_changes import add_to as add_changes
from holdfast.cli.snapshot_saving import add_to as add_saving
from holdfast.cli.snapshot_settling import add_to as add_settling
from holdfast.cli.snapshot_verifying import add_to as add_verifying

__all__ = ["app", "Reference"]

app = typer.Typer(
    cls=Group,
    help="Save snapshots, look at them, verify, tag and drop them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
add_saving(app)


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, 3, 7, 8, _4="damage found: some snapshots cannot be read"))
def list_(
    context: typer.Context,
    vault: VaultOption,
    asset: Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Only those of this asset.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List snapshots, oldest first. The beginning of an id is enough to refer to it."""
    from holdfast.cli.facts.lists import list_facts
    from holdfast.cli.views.snapshots import list_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "list", asset=asset)
    with no_collection():
        record = list_facts(opened, asset, limit)
        output.give(record, list_lines)
    hurt = f", {count(len(record.damaged), 'damaged object')}," if record.damaged else ""
    older = f" (and {record.older:,} older)" if record.older else ""
    output.finish(f"listed {count(len(record.snapshots), 'snapshot')}{older}{hurt}")
    if record.damaged:
        raise typer.Exit(4)


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8))
def show(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    tensors: Annotated[bool, typer.Option("--tensors", help="List tensors with dtype, shape and norm.")] = False,
    files: Annotated[bool, typer.Option("--files", help="List files, folders and links.")] = False,
    codecs: Annotated[
        bool, typer.Option("--codecs", help="Tell where the bytes went, and what a restore reads.")
    ] = False,
    circumstances: Annotated[
        bool, typer.Option("--circumstances", help="List code, packages, layout, data: all that a resume needs.")
    ] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show everything about one snapshot: what was checked and found, what it is made of, what points to it."""
    from holdfast.cli.facts.snapshots import shown_facts
    from holdfast.cli.views.bars import strokes_for
    from holdfast.cli.views.shown import shown_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "show", reference=ref).reference
    record = shown_facts(
        opened, opened.find(ref), tensors=tensors, files=files, codecs=codecs, circumstances=circumstances
    )
    output.give(record, partial(shown_lines, strokes=strokes_for(sys.stdout)))
    output.finish(f"showed {record.snapshot.id}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8))
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="A snapshot, as for `show`.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The snapshot to compare with it.")],
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare two snapshots: files, tensors and their norms, facts, circumstances. Reads manifests, and the latter."""
    from holdfast.cli.facts.circumstances import differences_between
    from holdfast.cli.facts.differences import diff_facts
    from holdfast.cli.views.differences import diff_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    before, after = (guard(opened, "diff", reference=one).reference for one in (before, after))
    found = opened.diff(before, after)
    record = diff_facts(found, differences_between(opened, found.before, found.after, output))
    output.give(record, diff_lines)
    output.finish(f"compared {record.before.id} with {record.after.id}")


add_verifying(app)
add_changes(app)
add_settling(app)
add_holds(app)
