"""`holdfast key`: key files, and who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli import key_epochs, key_recipients
from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count

__all__ = ["app"]

app = typer.Typer(
    cls=Group, help="Key files, and who may do what in a vault.", rich_markup_mode=None, no_args_is_help=True
)

Label = Annotated[str, typer.Argument(metavar="LABEL", help="A name for the member: letters, digits, `.`, `_`, `-`.")]
KeyFile = Annotated[str, typer.Option("--to", metavar="FILE", help="A new file for the key; mode 600.")]


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, _7="some key file cannot be used; the output says why"))
def list_(context: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """List the key files that commands on this machine look at. No secret is shown."""
    from holdfast.cli.facts.keys import list_facts
    from holdfast.cli.views.keys import list_lines

    output: Output = context.obj
    record = list_facts()
    output.give(record, list_lines)
    output.finish(f"listed {count(len(record.keys), 'key file')}")
    if any(key.error is not None for key in record.keys):
        raise typer.Exit(7)


@app.command(
    "export-keeper",
    cls=Command,
    epilog=exit_codes(0, 1, 2, 3, 6, 8, _5="refused: the label or FILE is taken", _7="this is not the keeper's key"),
)
def export_keeper(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    to: KeyFile,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Admit another keeper, and put its key into FILE.

    A keeper may do everything: read, add, drop, admit and revoke, other keepers too. Have a second one away from the
    first. To renew a keeper's key: admit the new one, and with it revoke the old one. Needs a keeper's key.
    """
    _export(context.obj, "keeper", label, vault, to, store_option)


@app.command(
    "export-writer",
    cls=Command,
    epilog=exit_codes(0, 1, 2, 3, 6, 8, _5="refused: the label or FILE is taken", _7="this is not the keeper's key"),
)
def export_writer(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    to: KeyFile,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Admit a writer, and put its key into FILE.

    A writer adds snapshots; it can neither read nor drop any. That is the key for training machines. Needs the
    keeper's key.
    """
    _export(context.obj, "writer", label, vault, to, store_option)


@app.command(
    "export-reader",
    cls=Command,
    epilog=exit_codes(0, 1, 2, 3, 6, 8, _5="refused: the label or FILE is taken", _7="this is not the keeper's key"),
)
def export_reader(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    to: KeyFile,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Admit a reader, and put its key into FILE.

    A reader restores and verifies, and writes nothing. It is also what saves the data when the keeper's key is lost:
    keep FILE in another place. Needs the keeper's key.
    """
    _export(context.obj, "reader", label, vault, to, store_option)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        6,
        8,
        _3="not found: no such vault or member",
        _5="refused: a reader, or the key in use",
        _7="this is not the keeper's key",
    ),
)
def revoke(
    context: typer.Context,
    label: Label,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Revoke a writer or a keeper: what it signs from now on does not count.

    What it signed before stays. A keeper is revoked by another one, and goes on opening the vault until it is no
    recipient any more, and the keys are new. Needs a keeper's key.
    """
    from holdfast.cli.schemas.keys import KeyRevoked
    from holdfast.cli.views.keys import revoked_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.vault.access.members import revoke_signer

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "key.revoke")
    with recorded_on(opened, "key.revoke", names={"member": label}):
        revoked = revoke_signer(opened.handle, label)
    output.give(KeyRevoked(vault=opened.id, label=label), revoked_lines)
    if revoked.role == "keeper":
        output.warn(f"{label} can still open the vault: `holdfast key remove-recipient`, then `holdfast key rotate`")
    output.finish(f"revoked {label} of vault {opened.id}")


def _export(output: Output, role: str, label: str, vault: str, to: str, store_option: list[str] | None) -> None:
    from holdfast.cli.facts.keys import exported_facts
    from holdfast.cli.views.keys import exported_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.keys import key_files
    from holdfast.control.vaults.opening import open_at

    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, f"key.export-{role}")
    export = {
        "keeper": key_files.export_keeper,
        "writer": key_files.export_writer,
        "reader": key_files.export_reader,
    }[role]
    with recorded_on(opened, f"key.export-{role}", names={"member": label}):
        record = exported_facts(export(opened, label, Path(to)), Path(to))
    output.give(record, exported_lines)
    output.warn("the file is secret: send it by a safe way, and delete it here if it is for another machine")
    output.say("there, set HOLDFAST_KEY_FILE to it, or put it into ~/.config/holdfast/keys/")
    output.say(f"  under the name {record.vault}.{role}-{label}.key")
    output.finish(f"admitted {role} {label} to vault {record.vault}")


key_epochs.add_to(app)
key_recipients.add_to(app)
