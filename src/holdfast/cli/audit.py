"""`holdfast audit`: the log of what was done, which nobody can rewrite unseen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.audit_keys import add_to as add_keys
from holdfast.cli.audit_options import Keepers, LogKeys, Quorum, Witnesses, opened_log, verifier_keys
from holdfast.cli.audit_witness import add_to as add_witnessing
from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output, Page
from holdfast.cli.phrases import count
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.schemas.audit import AuditShown

__all__ = ["app", "shown_view", "times_of"]

_AT_ONCE = 500

app = typer.Typer(
    cls=Group, help="The log of what was done, which strangers can verify.", rich_markup_mode=None, no_args_is_help=True
)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        3,
        6,
        8,
        _5="refused: there is a log already, or a witness where a rule forbids",
        _7="this is not the keeper's key",
    ),
)
def create(
    context: typer.Context,
    vault: VaultOption,
    origin: Annotated[
        str, typer.Option("--origin", metavar="NAME", help="The log's name, for ever; by default of the vault's id.")
    ] = "",
    witness: Witnesses = None,
    quorum: Quorum = None,
    names: Annotated[bool, typer.Option("--names", help="Write plain names into the log, not keyed hashes.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Name other witnesses, another quorum; the log and its key stay.")
    ] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give a vault an audit log: what is done with the vault from now on is recorded.

    The log's private key stays on this machine; who has it puts entries into the log (`append`). Needs the keeper's
    key.
    """
    from holdfast.cli.facts.audit import created_facts
    from holdfast.cli.views.audit import created_lines
    from holdfast.control.audit.auditing import create_log, declare_anew
    from holdfast.control.authority.guarding import guard
    from holdfast.control.sites.ruled_places import find_rules
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "audit.create")
    keys = verifier_keys(witness)
    rules = find_rules(opened.handle.store) if keys else None
    if rules is not None:
        rules.require_named(dict.fromkeys(key.name for key in keys))
    if again:
        log = declare_anew(opened.handle, witnesses=keys, quorum=quorum or 0, names=names)
    else:
        log = create_log(opened.handle, origin=origin, witnesses=keys, quorum=quorum or 0, names=names)
    record = created_facts(log)
    output.give(record, created_lines)
    if not again:
        output.warn("keep a copy of the key file: without it nothing more goes into this log")
    output.finish(f"{'described anew' if again else 'created'} the log {record.origin}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 8, _7="neither the log's key nor a member's is here"))
def append(
    context: typer.Context,
    vault: VaultOption,
    action: Annotated[
        str, typer.Option("--action", metavar="WORD", help="Record that this was done, in the name of your key.")
    ] = "",
    decision: Annotated[
        str, typer.Option("--decision", metavar="WORD", show_default=True, help="`allowed`, `denied`, `approved`, …")
    ] = "allowed",
    outcome: Annotated[
        str, typer.Option("--outcome", metavar="TEXT", show_default=True, help="What came of it.")
    ] = "done",
    object_: Annotated[
        list[str] | None, typer.Option("--object", metavar="K=V", help="What it was done to; repeatable.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", metavar="NAME", help="A policy that decided it; repeatable.")
    ] = None,
    witness_url: Annotated[
        list[str] | None, typer.Option("--witness-url", metavar="URL", help="Ask this witness to cosign; repeatable.")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put what members recorded into the log, sign it, and have it witnessed.

    With `--action`, record something first. Without the log's key only that is done: who has it puts it into the log.
    """
    from holdfast.cli.facts.audit import appended_facts
    from holdfast.cli.views.audit import appended_lines
    from holdfast.control.audit.auditing import log_of
    from holdfast.control.audit.recording import record_by_hand
    from holdfast.control.authority.guarding import guard
    from holdfast.control.sites.ruled_places import find_rules
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "audit.append")
    log = log_of(opened.handle)
    recorded = None
    if action:
        objects = pairs(object_, "--object")
        recorded = record_by_hand(opened.handle, log, action, decision, policy or [], objects, outcome)
    elif object_ or policy:
        raise UsageError("--object and --policy say more of an --action", hint="give that, too")
    if not action and not log.has_key():
        log.writer()  # says where the key should be
    rules = find_rules(log.store) if witness_url else None
    if rules is not None:
        rules.require_listening(witness_url or ())
    done = log.sequence() if log.has_key() else None
    cosigned = log.ask_witnesses(witness_url or []) if done is not None else []
    newest = log.reader.newest() if done is not None else None
    record = appended_facts(log, recorded, done, newest, cosigned)
    output.give(record, appended_lines)
    for label, holes in record.gaps.items():
        output.warn(
            f"{count(holes, 'time')} entries of {label} are missing: somebody took them away before they came in"
        )
    output.finish(f"{'recorded; ' if recorded else ''}{count(record.sequenced, 'entry')} into the log {record.origin}")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        3,
        7,
        8,
        _4="the log is not what it should be; the output says how",
        _9="it is sound, and too few witnesses have cosigned it",
    ),
)
def verify(
    context: typer.Context,
    vault: VaultOption,
    keeper: Keepers = None,
    log_key: LogKeys = None,
    witness: Witnesses = None,
    quorum: Quorum = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read the whole log: is it what was signed, and does it continue what this machine saw before?

    Needs no key of the vault.
    """
    from holdfast.cli.facts.audit import verified_facts
    from holdfast.cli.views.audit import verified_lines

    output: Output = context.obj
    log = opened_log(output, "audit.verify", vault, store_option, keeper, log_key)
    report = log.verify(witnesses=verifier_keys(witness), quorum=quorum)
    record = verified_facts(log, report, log.declared.newest.quorum if quorum is None else quorum)
    output.give(record, verified_lines)
    missing = any(one.kind == "unwitnessed" for one in report.findings)
    word = "sound" if record.sound else "NOT sound"
    output.finish(f"the log {record.origin} of {count(record.size, 'entry')} is {word}")
    if not record.sound or missing:
        raise typer.Exit(4 if not record.sound else 9)


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8, _5="refused: FILE exists"))
def prove(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="The entry, as `show` counts them.")],
    vault: VaultOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, by custom named *.tlog-proof.")],
    keeper: Keepers = None,
    log_key: LogKeys = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the proof that an entry is in the log. Whoever has the log's public key can verify it offline."""
    from holdfast.cli.schemas.audit import AuditProved
    from holdfast.cli.views.audit import proved_lines
    from holdfast.control.audit.proof_files import write_proof

    output: Output = context.obj
    log = opened_log(output, "audit.prove", vault, store_option, keeper, log_key)
    size = write_proof(log, number, out)
    record = AuditProved(origin=log.declared.origin, number=number, size=size, file=str(out))
    output.give(record, proved_lines)
    output.finish(f"proved entry {number} of {record.origin}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8))
def show(
    context: typer.Context,
    vault: VaultOption,
    actor: Annotated[
        str,
        typer.Option("--actor", metavar="LABEL", help="Only of this member: a label, or a fingerprint's beginning."),
    ] = "",
    action: Annotated[
        str, typer.Option("--action", metavar="WORD", help="Only this action; `key` means all that begin `key.`.")
    ] = "",
    decision: Annotated[str, typer.Option("--decision", metavar="WORD", help="Only with this decision.")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Not before: a time, or how long ago (2d).")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Before: a time, or how long ago.")] = "",
    keeper: Keepers = None,
    log_key: LogKeys = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the entries of the log, oldest first. With `--json`, one object in each line."""
    from holdfast.cli.facts.audit import Wanted, shown_facts

    output: Output = context.obj
    wanted = Wanted(actor, action, decision, *times_of(since, until))
    log = opened_log(output, "audit.show", vault, store_option, keeper, log_key)
    found = shown_facts(log, wanted)
    shown = 0
    while some := list(itertools.islice(found, 1 if output.json else _AT_ONCE)):
        # One by one as JSON; as a table, as many as have the same widths of columns.
        output.give(some[0], shown_view(some))
        shown += len(some)
    output.finish(f"listed {count(shown, 'entry')} of the log {log.declared.origin}")


def shown_view(some: list[AuditShown]) -> Callable[[AuditShown, Page], list[str]]:
    from holdfast.cli.views.audit import shown_lines

    return lambda _, page: shown_lines(some, page)


def times_of(since: str, until: str) -> tuple[int, int]:
    return (_time(since, "--since") if since else 0), (_time(until, "--until") if until else 1 << 63)


def _time(text: str, option: str) -> int:
    from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, from_rfc3339
    from holdfast.units import parse_duration

    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        pass
    try:
        return SYSTEM_CLOCK.now_ns() - round(parse_duration(text) * NANOSECONDS)
    except UsageError as error:
        raise UsageError(
            f"{option} {text!r} is neither a time nor a duration", hint="for example 2026-11-21T10:00Z, or 2d"
        ) from error


add_witnessing(app)
add_keys(app)
