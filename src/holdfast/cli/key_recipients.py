"""`holdfast key create`, `show`, `add-recipient`, `remove-recipient`, `split`, `combine`: who opens a vault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.errors import UsageError

__all__ = ["add_to"]

Label = Annotated[
    str, typer.Argument(metavar="LABEL", help="A name for the recipient: letters, digits, `.`, `_`, `-`.")
]
To = Annotated[
    Path | None, typer.Option("--to", metavar="FILE", help="A new file for the key; default: in the key folder.")
]


def add_to(app: typer.Typer) -> None:
    """Give the commands of this file to the noun."""
    makes = exit_codes(0, 1, 2, 3, 4, 8, _5="refused: a file of that name is there", _7="not that keeper's vault")
    app.command("create", cls=Command, epilog=makes)(create)
    app.command("show", cls=Command, epilog=exit_codes(0, 1, 2, 4, 7))(show)
    changes = exit_codes(
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        _5="refused: the label or the key is in the vault already",
        _7="not the keeper's key, or a key service refuses",
    )
    app.command("add-recipient", cls=Command, epilog=changes)(add_recipient)
    removes = exit_codes(
        0,
        1,
        2,
        6,
        8,
        _3="not found: no such vault or recipient",
        _5="refused: the last one that opens, or the key in use",
        _7="this is not the keeper's key",
    )
    app.command("remove-recipient", cls=Command, epilog=removes)(remove_recipient)
    splits = exit_codes(0, 1, 2, 3, 6, 8, _5="refused: the label or a file is taken", _7="this is not the keeper's key")
    app.command("split", cls=Command, epilog=splits)(split)
    combines = exit_codes(
        0, 1, 2, _4="a share of a newer version", _5="refused: FILE is there", _7="too few, mixed or damaged shares"
    )
    app.command("combine", cls=Command, epilog=combines)(combine)


def create(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    public: Annotated[
        Path, typer.Option("--public", metavar="FILE", help="A new file for the public half, for the keeper.")
    ],
    to: To = None,
    keeper: Annotated[
        str | None,
        typer.Option("--keeper", metavar="FINGERPRINT", help="Whose signature to believe; ask the keeper."),
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a recipient's key on its own machine.

    The secret half never leaves this machine. The keeper lets the key in by its public half: `key add-recipient --from
    FILE`. Until then it opens nothing. Compare the id over another way than the one that FILE takes: whoever swaps
    FILE becomes the recipient.
    """
    from holdfast.cli.facts.keys import created_facts
    from holdfast.cli.views.keys import created_lines
    from holdfast.control.keys.recipients import create_key
    from holdfast.control.vaults.opening import store_at

    output: Output = context.obj
    store = store_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    record = created_facts(create_key(store, label, to=to, public_file=public, keeper=keeper))
    output.give(record, created_lines)
    if not record.confirmed:
        output.warn("the keeper's fingerprint was read from the store, and nothing vouches for it: compare it with")
        output.say("  what `holdfast key show` says on the keeper's machine, or give it by --keeper")
    output.finish(f"made the key of {label}, which the keeper has yet to let in")


def show(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A key file; default: the only one.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a key file is: role, label, vault, public ids. No secret is shown."""
    from holdfast.cli.facts.keys import shown_facts
    from holdfast.cli.views.keys import shown_lines
    from holdfast.control.keys.recipients import show_key

    output: Output = context.obj
    record = shown_facts(*show_key(file))
    output.give(record, shown_lines)
    output.finish(f"showed the {record.role}'s key of vault {record.vault}")


def add_recipient(
    context: typer.Context,
    vault: VaultOption,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="The public half that `key create` made.")
    ] = None,
    kms: Annotated[
        str | None,
        typer.Option("--kms", metavar="URI", help="A key service's key: aws-kms://, azure-kv://, gcp-kms://."),
    ] = None,
    passphrase: Annotated[bool, typer.Option("--phrase", help="The passphrase in HOLDFAST_PASSPHRASE.")] = False,
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="A name for it; default: FILE's, or a usual one.")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a recipient open the vault: all of it, up to now and in this epoch.

    One of --from, --phrase and --kms says who; `key split` makes one that exists in shares. No pack is rewritten.
    Needs the keeper's key.
    """
    from holdfast.cli.schemas.keys import RecipientAdded
    from holdfast.cli.views.keys import added_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.trust.keyring import passphrase_from_environment
    from holdfast.trust.kms.port import kms_label, parse_key_uri
    from holdfast.trust.kms.services import KeyServices
    from holdfast.trust.recipient_file import read_recipient_file
    from holdfast.vault.access.recipients import add_from_file, add_key_service, add_passphrase

    output: Output = context.obj
    if (file is not None) + (kms is not None) + passphrase != 1:
        raise UsageError("one of --from, --phrase and --kms says who is let in")
    if file is not None and label is not None:
        raise UsageError("the label is FILE's", hint="`key create` gives it")
    public = read_recipient_file(file) if file is not None else None
    uri = parse_key_uri(kms) if kms is not None else None
    words = passphrase_from_environment() if passphrase else None
    if passphrase and words is None:
        raise UsageError("HOLDFAST_PASSPHRASE is not set", hint="secrets are never options: set it")
    name = public.label if public is not None else label or (kms_label(uri) if uri is not None else "passphrase")
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.add-recipient")
    with recorded_on(opened, "key.add-recipient", names={"recipient": name}) as facts:
        if public is not None:
            facts.objects["recipient-id"] = public.id
            added = add_from_file(opened.handle, public)
        elif uri is not None:
            added = add_key_service(opened.handle, name, uri.text, KeyServices())
        else:
            added = add_passphrase(opened.handle, name, words or "")
        facts.objects["recipient-id"] = added.id
    record = RecipientAdded(vault=opened.id, label=added.label, kind=added.kind, id=added.id, epochs=added.epochs)
    output.give(record, added_lines)
    if uri is not None:
        from holdfast.trust.signing import fingerprint

        keeper = fingerprint(opened.handle.keys.require_keeper("adding a recipient").public)
        output.say(f"machines that open by it need HOLDFAST_KEEPER={keeper}")
    output.finish(f"let {added.label} open vault {opened.id}")


def remove_recipient(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a recipient out of the vault. This takes back nothing that it could open.

    What it opened it may have kept, and the keys of the epochs so far it may have kept, too. `key rotate` protects what
    is written afterwards, and `key rotate --reseal` what is stored, from a recipient that cannot read old copies of
    the store. Needs the keeper's key.
    """
    from holdfast.cli.schemas.keys import RecipientRemoved
    from holdfast.cli.views.keys import removed_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.vault.access.recipients import remove_recipient as remove

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.remove-recipient")
    with recorded_on(opened, "key.remove-recipient", names={"recipient": label}):
        removed = remove(opened.handle, label)
    record = RecipientRemoved(
        vault=opened.id, label=label, kind=removed.kind, epochs=removed.epochs, remaining=removed.remaining
    )
    output.give(record, removed_lines)
    output.warn(f"{label} can still open what is stored, and what is written until the keys are new")
    output.say("`holdfast key rotate` protects what is written from then on")
    output.finish(f"removed {label} from vault {opened.id}")


def split(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the share files go; each of mode 600.")],
    shares: Annotated[int, typer.Option("--shares", metavar="N", help="How many shares, at most 16.")] = 5,
    threshold: Annotated[int, typer.Option("--threshold", metavar="K", help="How many of them open.")] = 3,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let in a key that exists in shares only: any K of N open the vault, fewer tell nothing.

    For the day on which every key file is gone. Give each share to another person or place, and delete it here. Words
    with checksums (SLIP-39), to be printed or written down. Needs the keeper's key.
    """
    from holdfast.cli.phrases import clean
    from holdfast.cli.schemas.keys import KeySplit
    from holdfast.cli.views.keys import split_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.keys.recipients import split_key
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.split")
    with recorded_on(opened, "key.split", names={"recipient": label}) as facts:
        made = split_key(opened, label, to, shares=shares, threshold=threshold)
        facts.objects["recipient-id"] = made.added.id
    files = [clean(str(file.absolute())) for file in made.files]
    record = KeySplit(vault=opened.id, label=label, id=made.added.id, threshold=threshold, files=files)
    output.give(record, split_lines)
    output.warn(
        f"whoever has {threshold} of these files reads the vault: give them to different places, delete them here"
    )
    output.finish(f"split the key {label} of vault {opened.id} into {shares} shares")


def combine(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Share files of one key.")],
    to: To = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put a key together from its shares: a reader's key file, which restores.

    To open a vault without leaving a key file behind, set HOLDFAST_KEY_SHARES to the files instead, joined by `:`.
    """
    from holdfast.cli.facts.keys import combined_facts
    from holdfast.cli.views.keys import combined_lines
    from holdfast.control.keys.recipients import combine_key

    output: Output = context.obj
    record = combined_facts(combine_key(files, to))
    output.give(record, combined_lines)
    output.warn("this file opens the vault alone: delete it when it is not needed any more")
    output.finish(f"put the key {record.label} of vault {record.vault} together")
