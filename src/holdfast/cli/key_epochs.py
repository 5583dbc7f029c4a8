"""`holdfast key rotate`, `reseal`: new keys for what is written, and for what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.schemas.keys import ResealFacts

__all__ = ["add_to"]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how much would be sealed anew, and change nothing.")]


def add_to(app: typer.Typer) -> None:
    """Give the commands of this file to the noun."""
    changes = exit_codes(
        0,
        1,
        2,
        3,
        6,
        8,
        _4="sealed anew but for packs that cannot be read; JSON names them",
        _5="refused: an unknown kind of member, or an unreadable snapshot",
        _7="not the keeper's key, or not the vault's passphrase",
    )
    app.command("rotate", cls=Command, epilog=changes)(rotate)
    app.command("reseal", cls=Command, epilog=changes)(reseal)


def rotate(
    context: typer.Context,
    vault: VaultOption,
    again: Annotated[
        bool, typer.Option("--reseal", help="Seal what is stored with the new keys, too: see `key reseal`.")
    ] = False,
    dry_run: DryRun = False,
    suite: Annotated[
        int | None,
        typer.Option("--suite", metavar="N", min=1, max=2, help="Of the new keys; default: the vault's. Never lower."),
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Seal what is written from now on with new keys, which all members open.

    What is stored stays under the keys it was written with: whoever had these can open it as before, also in copies.
    A vault that opens by a passphrase, too, needs it in HOLDFAST_PASSPHRASE; its key services are asked. Programs that
    have the vault open: a writer's next save has the new keys, a keeper's has to open it again. Needs the keeper's key.
    """
    from contextlib import nullcontext

    from holdfast.cli.facts.keys import resealed_facts
    from holdfast.cli.schemas.keys import KeyRotated
    from holdfast.cli.views.keys import rotated_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.trust.keyring import passphrase_from_environment
    from holdfast.trust.suites import suite_of
    from holdfast.vault.access import resealing
    from holdfast.vault.access.members import rotate_epoch

    output: Output = context.obj
    if dry_run and not again:
        raise UsageError("--dry-run goes with --reseal: a new epoch rewrites nothing")
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.rotate")
    if not dry_run:
        wanted = suite_of(suite) if suite is not None else None
        with recorded_on(opened, "key.rotate") as record:
            number = rotate_epoch(opened.handle, passphrase=passphrase_from_environment(), suite=wanted)
            record.objects["epoch"] = str(number)
    facts = None
    if again:
        try:
            with nullcontext() if dry_run else recorded_on(opened, "key.reseal"):
                facts = resealed_facts(resealing.reseal(opened.handle, dry_run=dry_run, after_rotation=dry_run))
        except BaseException:
            if not dry_run:
                output.warn(
                    "the new epoch was opened, but not everything sealed anew: go on with `holdfast key reseal`"
                )
            raise
    last = opened.handle.keys.config.epochs[-1]
    members = [one.label for one in last.recipients]
    output.give(KeyRotated(vault=opened.id, epoch=last.number, members=members, resealed=facts), rotated_lines)
    if facts is not None and not dry_run:
        _say_what_is_open(output, facts)
    if dry_run and facts is not None:
        output.finish(f"would seal {count(facts.packs, 'pack')} of vault {opened.id} anew")
    else:
        output.finish(f"opened epoch {last.number} of vault {opened.id}")
    if facts is not None and facts.left:
        raise typer.Exit(4)


def reseal(
    context: typer.Context,
    vault: VaultOption,
    dry_run: DryRun = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Seal what earlier epochs hold with the newest keys. It may be stopped, and goes on when it is run again.

    All content is read and written once more, into new packs; `vault collect` deletes the old ones. Until then, and in
    copies and object versions that are kept, they open with the old keys. File names, sizes and statistics (roots and
    manifests) stay under the keys that they were written with. Needs the keeper's key.
    """
    from contextlib import nullcontext

    from holdfast.cli.facts.keys import resealed_facts
    from holdfast.cli.schemas.keys import KeyResealed
    from holdfast.cli.views.keys import resealed_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.vault.access import resealing

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.reseal")
    with nullcontext() if dry_run else recorded_on(opened, "key.reseal"):
        facts = resealed_facts(resealing.reseal(opened.handle, dry_run=dry_run))
    output.give(KeyResealed(vault=opened.id, resealed=facts), resealed_lines)
    if not dry_run:
        _say_what_is_open(output, facts)
    done = "would seal" if dry_run else "sealed"
    output.finish(f"{done} {count(facts.packs, 'pack')} of vault {opened.id} anew, to epoch {facts.epoch}")
    if facts.left:
        raise typer.Exit(4)


def _say_what_is_open(output: Output, facts: ResealFacts) -> None:
    output.warn("old keys open the old packs until `vault collect` has deleted them, and copies of them for ever;")
    output.say("  snapshots' names, sizes and statistics stay under the keys that they were written with")
