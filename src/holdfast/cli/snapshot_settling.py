"""`holdfast snapshot settle`: finishing saves of many ranks."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count

__all__ = ["add_to"]


def settle(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="The asset that the ranks saved.")],
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Finish saves of many ranks whose coordinator died: all ranks have stored their shares, and nobody made the
    snapshot. A training does so by itself at its next start. Needs a key that writes and reads, or that of the ranks.
    """
    from holdfast.cli.facts.settling import settled_facts
    from holdfast.cli.views.settling import settled_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.training.committing.settling import settle_saves

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "save", asset=asset)
    record = settled_facts(asset, settle_saves(opened, asset))
    output.give(record, settled_lines)
    output.finish(f"finished {count(len(record.settled), 'save')}")


def add_to(app: typer.Typer) -> None:
    """Make it part of the noun."""
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))(settle)
