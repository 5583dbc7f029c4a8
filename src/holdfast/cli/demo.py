"""`holdfast demo`: the whole story on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.units import parse_duration

__all__ = ["add_to"]


def demo(
    context: typer.Context,
    folder: Annotated[
        str,
        typer.Option("--dir", metavar="DIR", show_default=True, help="A new or empty folder for sites and evidence."),
    ] = "holdfast-demo",
    rpo: Annotated[
        str, typer.Option("--rpo", metavar="TIME", show_default=True, help="How much training may be lost.")
    ] = "30s",
    rto: Annotated[
        str, typer.Option("--rto", metavar="TIME", show_default=True, help="How long the recovery may take.")
    ] = "30s",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the sites there, and serve the dashboard of them until Ctrl-C.")
    ] = False,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", show_default=True, help="Of that dashboard.")
    ] = "127.0.0.1:8440",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in DIR.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lose a site in the middle of training, recover elsewhere, and measure it: on this machine, in about a minute.

    Three folders stand for three sites. A small model really trains in one of them, `holdfast watch` protects it, the
    site is wiped, training goes on at another site, and the evidence says what was lost and how long it took.
    """
    from holdfast.cli.facts.demos import played_facts
    from holdfast.cli.views.demos import played_lines
    from holdfast.control.demonstrating import DemoSettings, run_demo

    if keep:
        from holdfast.cli.serve import address_of, require_server
        from holdfast.web.serving import leave

        require_server()
        address_of(address)
    output: Output = context.obj

    def say(offset: float, text: str) -> None:
        output.say(f"{offset:6.1f} s  {text}")

    settings = DemoSettings(rpo_seconds=parse_duration(rpo), rto_seconds=parse_duration(rto))
    record = played_facts(run_demo(Path(folder), settings, keep=keep, overwrite=overwrite, say=say))
    output.give(record, played_lines)
    code = 9 if record.state != "MET" else 0 if record.outcome == "PASSED" else 1
    outcome = f"demo {record.outcome}, objective {record.state}, recovered {record.recovery.snapshot or 'nothing'},"
    if keep:
        from holdfast.cli.showing import show

        show(output, Path(folder).absolute(), settings, record.recovery.site, address)
        output.finish(outcome)
        leave(code)
    output.say("to see it in a browser, live: holdfast demo --keep")
    output.finish(outcome)
    if code:
        raise typer.Exit(code)


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            2,
            7,
            _0="recovered within the objective",
            _1="failed: a check did, or the demo itself",
            _5="refused: DIR is taken",
            _9="recovered, and missed the objective",
        ),
    )(demo)
