"""`holdfast audit witness` and `witness-key`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.audit_options import Keepers, LogKeys, opened_log
from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption
from holdfast.cli.output import Output
from holdfast.cli.phrases import count

__all__ = ["add_to"]


def witness(
    context: typer.Context,
    vault: VaultOption,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key of the witness.")],
    state: Annotated[
        str, typer.Option("--state", metavar="URL", help="The witness's own store: what it saw. Not the log's.")
    ],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Serve `add-checkpoint` there, until interrupted.")
    ] = "",
    keeper: Keepers = None,
    log_key: LogKeys = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cosign the newest checkpoint of a log, if it continues what this witness saw before.

    A witness at another site, with a key and a store of its own, is what a forged history cannot get past.
    """
    from holdfast.cli.facts.audit import witnessed_facts
    from holdfast.cli.views.audit import witnessed_lines
    from holdfast.control.audit.witnesses import serve_witness, witness_log, witness_of

    output: Output = context.obj
    log = opened_log(output, "audit.witness", vault, store_option, keeper, log_key)
    log.require_declared()
    one = witness_of(log, key, state, progress=output.progress)
    if listen:
        output.say(f"{one.key.name} witnesses {log.declared.origin}; stop it with Ctrl-C")
        serve_witness(one, listen, output.say)
        return
    record = witnessed_facts(log, one, witness_log(log, one))
    log.remember_declared()
    output.give(record, witnessed_lines)
    output.finish(f"cosigned {count(record.size, 'entry')} of {record.origin} as {record.witness}")


def witness_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The witness's name, such as example.com/site-b.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file for the private key; mode 600.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the key of a new witness. Its public keys are for `audit create --witness`."""
    from holdfast.audit.signing_keys import NoteKey, write_note_key
    from holdfast.cli.facts.audit import witness_key_facts
    from holdfast.cli.views.audit import witness_key_lines

    output: Output = context.obj
    made = NoteKey.generate("witness", name)
    write_note_key(made, to)
    record = witness_key_facts(made, to)
    output.give(record, witness_key_lines)
    output.finish(f"made the key of the witness {record.name}")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of `holdfast audit`."""
    refused = "not cosigned: the log does not continue what was seen, or is damaged"
    own = "refused: --state is the log's own store"
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 6, 7, 8, _4=refused, _5=own))(witness)
    app.command("witness-key", cls=Command, epilog=exit_codes(0, 1, 2, 7, _5="refused: FILE exists"))(witness_key)
