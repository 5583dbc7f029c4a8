"""`holdfast restore`: a snapshot's files, or some of its tensors, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.fanning import FanoutOption, bulk_on
from holdfast.cli.help import Command
from holdfast.cli.options import (
    DeclaredVaultOption,
    FromStoreOptions,
    FromUrls,
    Json,
    Overwrite,
    Quiet,
    StoreOptions,
    pairs,
)
from holdfast.cli.output import Output
from holdfast.cli.references import Reference
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.schemas.circumstances import CircumstanceChange
    from holdfast.vault.vault import Vault

__all__ = ["add_to"]


def restore(
    context: typer.Context,
    ref: Reference,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A new or empty folder; with --tensor a file or folder.")
    ],
    vault: DeclaredVaultOption = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="GLOB", help="Only files (and folders) whose path matches.")
    ] = None,
    tensor: Annotated[
        str | None,
        typer.Option("--tensor", metavar="GLOB", help="Only tensors whose name matches, as one safetensors file."),
    ] = None,
    overwrite: Overwrite = False,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Do not count it among the attempts that demote a snapshot.")
    ] = False,
    check_env: Annotated[
        bool, typer.Option("--check-env", help="Tell what differs here, and stop where it changes results.")
    ] = False,
    here: Annotated[
        str | None,
        typer.Option("--here", metavar="FILE", help="With --check-env: circumstances.json of the program to come."),
    ] = None,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="With --check-env: restore in spite of them.")
    ] = False,
    from_: FromUrls = None,
    fanout: FanoutOption = "threads",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")] = False,
    store_option: StoreOptions = None,
    from_store_option: FromStoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore a snapshot into TARGET: the content of a folder, or the one file that was saved.

    TARGET appears when everything is there and checked; an interrupted restore goes on where it was. With --tensor, the
    matching tensors become TARGET (if it ends in .safetensors) or TARGET/tensors.safetensors. What the vault cannot
    give soundly is read from its replicas: those of --from, and other places where this machine opened it. With
    --fanout, the machines of a cluster write parts of it: TARGET is on a file system that they share. With --check-env,
    what was recorded when it was saved (code, packages, hardware, data) is compared with what is here.
    """
    from holdfast.cli.declared import vault_for_reading
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.repairing import known_replicas, replicas_at

    output: Output = context.obj
    if only is not None and tensor is not None:
        raise UsageError("--only chooses files and --tensor chooses tensors", hint="give one of them")
    if tensor is not None and fanout != "threads":
        raise UsageError("--fanout is for files, and --tensor reads a few chunks", hint="give one of them")
    if (here is not None or accept_differences) and not check_env:
        raise UsageError("--here and --accept-differences are for --check-env")
    if check_env and tensor is not None:
        raise UsageError("--check-env is for restoring a state, and --tensor is not", hint="give one of them")
    options = pairs(store_option, "--store-option")
    opened = vault_for_reading(vault, ref, options, output)
    named = replicas_at(from_ or (), options=pairs(from_store_option, "--from-store-option"), progress=output.progress)
    known = [
        one for one in known_replicas(opened, progress=output.progress) if one.url not in {url.url for url in named}
    ]
    # What a name means is not looked up at places that nobody named: a drill of this one would prove nothing.
    opened = opened.with_replicas([*named, *known], finding=bool(named))
    ref = guard(opened, "restore", reference=ref).reference
    if tensor is not None:
        done = _export(output, opened, ref, tensor, Path(target), overwrite=overwrite, dry_run=dry_run)
    else:
        from holdfast.cli.facts.moves import restore_plan_facts, restored_facts
        from holdfast.cli.views.moves import restored_lines
        from holdfast.control.snapshots.restore_plans import plan_restore

        changes = _differences(opened, ref, here, output) if check_env else None
        refused = not accept_differences and any(one.matters == "results" for one in changes or ())
        if dry_run or refused:
            planned = plan_restore(opened, ref, Path(target), only=only, overwrite=overwrite)
            record = restore_plan_facts(planned, changes, dry_run=dry_run, refused=refused)
        else:
            bulk = bulk_on(fanout, output)
            writing = None
            if bulk is not None:
                from holdfast.control.bulk.spreading import place_at

                writing = bulk.writing(opened, place_at(opened.handle.own.store, options), [*named, *known])
            written = opened.restore(ref, target, only=only, overwrite=overwrite, rehearsal=rehearsal, writing=writing)
            record = restored_facts(written, bulk, changes)
        output.give(record, restored_lines)
        done = record.snapshot.id
        if refused:
            output.finish("not restored: what differs here changes results (--accept-differences),")
            raise typer.Exit(5)
    output.finish("dry run: nothing was written," if dry_run else f"restored {done}")


def _export(
    output: Output, opened: Vault, ref: str, tensor: str, target: Path, *, overwrite: bool, dry_run: bool
) -> str:
    """Write the tensors that match, and give the facts. Returns the id of the snapshot."""
    from holdfast.cli.facts.moves import exported_facts
    from holdfast.cli.views.moves import exported_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.vaults.archived import told_of_archives
    from holdfast.control.vaults.uses import note_read
    from holdfast.vault.tensors.exporting import apply_export, plan_export

    plan = plan_export(opened.handle, opened.find(ref), tensor, target, overwrite=overwrite)
    if not dry_run:
        recorded = recorded_on(opened, "read", objects={"snapshot": plan.root.id}, names={"asset": plan.root.asset})
        with told_of_archives(opened, ref), recorded:
            apply_export(opened.handle, plan, overwrite=overwrite)
        note_read(opened.handle, plan.root)
    output.give(exported_facts(plan, dry_run=dry_run), exported_lines)
    return plan.root.id


def _differences(opened: Vault, reference: str, file: str | None, output: Output) -> list[CircumstanceChange]:
    from holdfast.cli.facts.circumstances import differences_here

    changes, unknown = differences_here(opened, opened.find(reference), file)
    if unknown:
        output.warn(f"not compared, as only one side tells: {', '.join(unknown)}")
    return changes


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
            _3="not found: no such vault or snapshot, or nothing matches",
            _4="damage found: nothing appeared",
            _5="refused: TARGET exists or is left alone, or circumstances differ here",
        ),
    )(restore)
