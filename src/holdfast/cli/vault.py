"""`holdfast vault`: make a vault, look at it, check it, mend it."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import FromStoreOptions, FromUrls, Json, Quiet, StoreOptions, VaultUrl, pairs, percentage
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.vault_collect import collect

__all__ = ["app"]

app = typer.Typer(
    cls=Group, help="Make a vault, look at it, check and mend it.", rich_markup_mode=None, no_args_is_help=True
)


@app.command(
    cls=Command, epilog=exit_codes(0, 1, 2, 7, 8, _5="refused: there is a vault already, or the key file exists")
)
def create(
    context: typer.Context,
    url: VaultUrl,
    no_encryption: Annotated[
        bool, typer.Option("--no-encryption", help="For public data: signed and checked, but readable by everybody.")
    ] = False,
    suite: Annotated[
        int,
        typer.Option(
            "--suite",
            metavar="N",
            min=1,
            max=2,
            help="Keys: 1 X25519 + ML-KEM-768, 2 P-384 + ML-KEM-1024 and ML-DSA-87.",
        ),
    ] = 1,
    lock: Annotated[
        str, typer.Option("--lock", metavar="PERIOD", help="Lock every snapshot for so long: 30d, 90d:compliance.")
    ] = "",
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a new vault, and the keeper's key file for it.

    The key file goes to $XDG_CONFIG_HOME/holdfast/keys (or where HOLDFAST_KEY_FILE points). Losing it loses the data.
    With HOLDFAST_PASSPHRASE set, the passphrase opens the vault, too.
    """
    from holdfast.cli.facts.vaults import created_facts
    from holdfast.cli.views.vaults import created_lines
    from holdfast.control.authority.guarding import guard_creation
    from holdfast.control.vaults.locking import lockable_period, set_lock
    from holdfast.control.vaults.opening import create as create_vault
    from holdfast.trust.suites import suite_of

    output: Output = context.obj
    guard_creation(url, encrypted=not no_encryption)
    options = pairs(store_option, "--store-option")
    period = lockable_period(lock, url, options) if lock else None
    created = create_vault(
        url,
        options=options,
        encryption=not no_encryption,
        suite=suite_of(suite),
        progress=output.progress,
    )
    if period is not None:
        set_lock(created.vault, period)
    record = created_facts(created)
    output.give(record, created_lines)
    if record.encrypted:
        output.warn("losing the key file loses the data: copy it to a safe place now")
        if "passphrase" not in record.recipients:
            output.say("to add a second recipient, so that one loss is not the end:")
            output.say(f"  holdfast key export-reader LABEL --vault {record.url} --to FILE")
            output.say("  (or set HOLDFAST_PASSPHRASE when you create a vault)")
    else:
        output.warn("nothing in this vault is secret; the key file is needed to add snapshots")
    output.finish(f"created vault {record.vault}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 7, 8, _4="damage found: something in the overview is missing"))
def info(
    context: typer.Context,
    url: VaultUrl,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a vault holds, and who may do what in it."""
    from holdfast.cli.facts.vaults import info_facts
    from holdfast.cli.views.vaults import info_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    vault = open_at(url, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(vault, "vault.info")
    record, damaged = info_facts(vault)
    output.give(record, info_lines)
    for one in damaged:
        output.warn(one.message)
    output.finish(f"looked at vault {record.vault}")
    if damaged:
        raise typer.Exit(4)


@app.command(
    cls=Command,
    epilog=exit_codes(1, 2, 3, 7, 8, _0="sound as far as was looked", _4="damage found: the output names it"),
)
def check(
    context: typer.Context,
    url: VaultUrl,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Read the packs, too, and decode every chunk.")
    ] = False,
    sample: Annotated[
        str,
        typer.Option("--sample", metavar="SHARE", help="Read only this share of the packs, least proven first: 5%."),
    ] = "",
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a whole vault.

    Opens every small object, verifies signatures, follows every snapshot to its packs, and compares sizes. --read-data
    (or --sample) also reads the packs: a sample begins with those that this machine never proved, or longest ago.
    Needs a key that reads.
    """
    from holdfast.cli.facts.vaults import checked_facts
    from holdfast.cli.views.vaults import checked_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    share = percentage(sample) if sample else 1.0
    reading = read_data or bool(sample)
    vault = open_at(url, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(vault, "vault.check")
    record = checked_facts(vault, vault.check(read_data=reading, sample=share), data_read=reading)
    output.give(record, checked_lines)
    if record.sound:
        output.finish(f"checked vault {record.vault}: sound")
        return
    hurt = {snapshot for damage in record.damages for snapshot in damage.snapshots}
    output.finish(
        f"checked vault {record.vault}: {count(len(record.damages), 'damaged object')}, "
        f"{count(len(hurt), 'snapshot')} hurt,"
    )
    raise typer.Exit(4)


app.command(
    "collect",
    cls=Command,
    epilog=exit_codes(
        0, 1, 2, 3, 7, 8, _5="refused: it cannot be told what a snapshot needs", _6="out of touch; retry"
    ),
)(collect)


@app.command(
    cls=Command,
    epilog=exit_codes(
        1, 2, 3, 6, 7, 8, _0="sound now", _4="damage is left: the output says what is lost", _5="refused: another vault"
    ),
)
def repair(
    context: typer.Context,
    url: VaultUrl,
    from_: FromUrls = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be mended; write nothing.")] = False,
    store_option: StoreOptions = None,
    from_store_option: FromStoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Mend what is damaged or missing in a vault, from its own packs and from its replicas.

    Reads all of it. What no site has any more is reported exactly, down to tensors. Needs a key that reads and writes.
    """
    from holdfast.cli.facts.repairs import repaired_facts
    from holdfast.cli.views.repairs import repaired_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.repairing import open_for_repair, replicas_at

    output: Output = context.obj
    others = replicas_at(from_ or (), options=pairs(from_store_option, "--from-store-option"), progress=output.progress)
    options = pairs(store_option, "--store-option")
    vault = open_for_repair(url, others, options=options, progress=output.progress, dry_run=dry_run)
    guard(vault, "vault.check" if dry_run else "repair")
    record = repaired_facts(vault, vault.repair(others, dry_run=dry_run), from_ or (), dry_run=dry_run)
    output.give(record, repaired_lines)
    lost = f", {count(len(record.losses), 'snapshot')} hurt for good," if record.losses else ""
    output.finish("dry run: nothing was written," if dry_run else f"repaired vault {record.vault}{lost}")
    if not record.sound:
        raise typer.Exit(4)
