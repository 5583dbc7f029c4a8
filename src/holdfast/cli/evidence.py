"""`holdfast evidence`: what runs and drills leave behind for auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared

if TYPE_CHECKING:
    from holdfast.cli.schemas.evidence import EvidenceFacts

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="List, show, export and verify the evidence of recoveries and drills.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run, or a drill without one: 20 hex digits.")]
_READ = {"_3": "not found: no holdfast.yaml, no evidence of such a run", "_4": "damage found: it does not hold"}


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml"))
def list_(
    context: typer.Context,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=500, show_default=True, help="So many.")] = 20,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the evidence that the stores have, the newest first, each verified."""
    from holdfast.cli.facts.evidence import list_facts
    from holdfast.cli.views.evidence import list_lines
    from holdfast.control.evidencing.reading import list_evidence

    output: Output = context.obj
    record = list_facts(list_evidence(open_declared(config, output), last))
    output.give(record, list_lines)
    bad = sum(bool(one.problem) for one in record.evidence)
    problems = f" {bad} not believed," if bad else ""
    output.finish(f"{count(len(record.evidence), 'record')},{problems}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, **_READ))
def show(
    context: typer.Context, run: Run, config: ConfigOption = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Show what the evidence of a run says, and where it is kept. It is verified first."""
    from holdfast.cli.facts.evidence import shown_facts
    from holdfast.cli.views.evidence import shown_lines
    from holdfast.control.evidencing.reading import show as shown

    output: Output = context.obj
    record = shown_facts(shown(open_declared(config, output), run))
    output.give(record, shown_lines)
    output.finish(_said(record.evidence))


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 6, 7, 8, _3="not found: no such run", _5="refused: not ended"))
def write(
    context: typer.Context, run: Run, config: ConfigOption = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Write the evidence of a run that ended without any: its control plane died before it could.

    It is written once. Needs a keeper's key. What the run itself measured is in its journal; nothing is measured anew.
    """
    from holdfast.cli.facts.evidence import shown_facts
    from holdfast.cli.views.evidence import shown_lines
    from holdfast.control.evidencing.reading import show as shown
    from holdfast.control.evidencing.writing import write_evidence_of

    output: Output = context.obj
    sites = open_declared(config, output)
    write_evidence_of(sites, run)
    record = shown_facts(shown(sites, run))
    output.give(record, shown_lines)
    output.finish(_said(record.evidence))


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _6="the folder holds evidence", **_READ))
def export(
    context: typer.Context,
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder for the files.")],
    controls: Annotated[
        Path | None,
        typer.Option("--controls", metavar="FILE", help="Write which control it supports, as CSV, to this file."),
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the files of a run's evidence to a folder, for somebody without a key.

    Proofs of entries that came into the audit log since are added. `docs/verify-evidence.py DIR` verifies it offline.
    """
    from holdfast.cli.facts.evidence import exported_facts
    from holdfast.cli.views.evidence import exported_lines
    from holdfast.control.evidencing.reading import export as exported
    from holdfast.errors import FailedError, UsageError
    from holdfast.evidence.controls import controls_csv

    output: Output = context.obj
    if controls is not None and controls.absolute().is_relative_to(folder.absolute()):
        raise UsageError("the CSV is no part of what is signed", hint="write it beside the folder, not in it")
    found = exported(open_declared(config, output), run, folder)
    if controls is not None:
        try:
            with controls.open("x", encoding="utf-8", newline="") as file:
                file.write(controls_csv(found.shown.verified.record))
        except OSError as error:
            raise FailedError(f"{controls} cannot be written ({error.strerror})", object_name=str(controls)) from error
    record = exported_facts(found, controls)
    output.give(record, exported_lines)
    output.finish(f"wrote {count(len(record.evidence.files), 'file')} to {record.folder},")


@app.command(
    cls=Command,
    epilog=exit_codes(0, 1, 2, _3="not found: a file is missing", _4=_READ["_4"], _7="another signer than was named"),
)
def verify(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Evidence that was exported.")],
    signer: Annotated[
        str | None,
        typer.Option("--signer", metavar="FINGERPRINT", help="Whose signature counts, learnt on another way."),
    ] = None,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", metavar="KEY", help="A newer key of the log; several times.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Verify evidence in a folder, offline and without any key of the vault.

    Signature, digests, the journal's chain, proofs of the audit log, and figures that have to agree with each other.
    """
    from holdfast.cli.facts.evidence import verified_facts
    from holdfast.cli.views.evidence import verified_lines
    from holdfast.errors import UsageError
    from holdfast.evidence.bundle import verify_evidence

    output: Output = context.obj
    if signer is not None and not signer.strip():
        raise UsageError("--signer names nobody", hint="leave it out to see whose signature it is, and that it holds")
    found = verify_evidence(folder, signer=signer or "", log_keys=log_key or ())
    record = verified_facts(found, folder, signer is not None)
    output.give(record, verified_lines)
    output.finish(f"it holds, {_said(record.evidence)}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml"))
def findings(context: typer.Context, config: ConfigOption = None, json: Json = False, quiet: Quiet = False) -> None:
    """Show what runs missed or failed and no later one made good: what closes it, and what it costs in credit."""
    from holdfast.cli.facts.evidence import findings_facts
    from holdfast.cli.views.evidence import findings_lines
    from holdfast.control.evidencing.reading import trends as read

    output: Output = context.obj
    record = findings_facts(read(open_declared(config, output)))
    output.give(record, findings_lines)
    late = sum(one.overdue for one in record.findings)
    output.finish(f"{count(len(record.findings), 'finding')} open, {late} overdue, {record.closed} closed,")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml"))
def trends(
    context: typer.Context,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the chart to this file, replacing it.")
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show RTO and RPO over time, how good predictions were, drills that are overdue, findings that are open."""
    from holdfast.cli.facts.evidence import trends_facts
    from holdfast.cli.views.evidence import trends_lines
    from holdfast.control.evidencing.reading import trends as read
    from holdfast.errors import FailedError
    from holdfast.evidence.trends_svg import trends_svg

    output: Output = context.obj
    found = read(open_declared(config, output))
    if svg is not None:
        try:
            svg.write_text(trends_svg(found), "utf-8")
        except OSError as error:
            raise FailedError(f"{svg} cannot be written ({error.strerror})", object_name=str(svg)) from error
    record = trends_facts(found, svg)
    output.give(record, trends_lines)
    late = sum(one.overdue_seconds is None or one.overdue_seconds > 0 for one in record.drills)
    output.finish(
        f"{count(record.records, 'record')}, {count(len(record.findings), 'finding')} open, {late} drills due,"
    )


def _said(one: EvidenceFacts) -> str:
    return f"run {one.outcome}, RPO {one.rpo.state}, RTO {one.rto.state},"
