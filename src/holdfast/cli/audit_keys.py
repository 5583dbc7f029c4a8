"""`holdfast audit rotate-key`."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output

__all__ = ["add_to"]


def rotate_key(
    context: typer.Context,
    vault: VaultOption,
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key is lost: the keeper alone says that there is a new one.")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="A change was begun elsewhere, and its new key is gone: begin another one.")
    ] = False,
    witness_url: Annotated[
        list[str] | None,
        typer.Option("--witness-url", metavar="URL", help="Have this witness cosign the change; repeatable."),
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give the log a new key. What the old one signs from here on does not count.

    The last entry that the old key signs names the new one; what was proven with it stays proven. Needs the keeper's
    key and the log's. Run again, it finishes what was begun.
    """
    from holdfast.cli.facts.audit_keys import rotated_facts
    from holdfast.cli.views.audit_keys import rotated_lines
    from holdfast.control.audit.log_key_changes import rotate_log_key
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "audit.create")
    done = rotate_log_key(opened.handle, lost=lost, anew=anew, witness_urls=witness_url or ())
    record = rotated_facts(done)
    output.give(record, rotated_lines)
    output.warn("keep a copy of the new key file: without it nothing more goes into this log")
    if record.witnesses:
        output.warn("witnesses that listen have to be started again: they learn the new key from the log's store")
    output.finish(f"the log {record.origin} has a new key from entry {record.size} on")


def add_to(app: typer.Typer) -> None:
    """Make the command part of `holdfast audit`."""
    refused = "refused: the key is not lost, or another change was begun"
    codes = exit_codes(0, 1, 2, 3, 4, 6, 8, _5=refused, _7="the keeper's key or the log's is not here")
    app.command("rotate-key", cls=Command, epilog=codes)(rotate_key)
