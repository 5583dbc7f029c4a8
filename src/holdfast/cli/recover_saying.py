"""`holdfast recover pause`, `resume`, `stop` and `skip`: what people say to a run, wherever it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.recover_options import Run, opened
from holdfast.cli.site_options import ConfigOption

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]

_CODES = exit_codes(
    0,
    1,
    2,
    4,
    6,
    7,
    8,
    _3="not found: no holdfast.yaml, no such run",
    _5="refused: the run has ended, or the step is never skipped",
)
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: one line, kept with the run.")]


def pause(
    context: typer.Context,
    run: Run,
    reason: Reason = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Begin no further step of a run; what is under way goes on to its end."""
    _say(context.obj, config, run, "paused", "paused,", reason=reason)


def resume(
    context: typer.Context,
    run: Run,
    reason: Reason = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a run that is paused go on."""
    _say(context.obj, config, run, "resumed", "goes on,", reason=reason)


def stop(
    context: typer.Context,
    run: Run,
    reason: Reason = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Stop a run: its control plane takes back what was done, in reverse. Without one, `recover adopt` does."""
    _say(context.obj, config, run, "stopped", "is to take back what was done,", reason=reason)


def skip(
    context: typer.Context,
    run: Run,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step of the run, as `recover status RUN` names it.")],
    reason: Reason = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say that a step counts as done: a human one that was, or one that nobody can do and need not be.

    Fencing and verifying are never skipped. Needs a reason.
    """
    _say(context.obj, config, run, "skipped", f"goes on without {step},", step=step, reason=reason)


def _say(
    output: Output, config: str | None, run: str, deed: str, outcome: str, *, step: str = "", reason: str = ""
) -> None:
    from holdfast.cli.facts.recoveries import run_facts
    from holdfast.cli.views.recoveries import run_lines
    from holdfast.errors import UsageError
    from holdfast.recovery.journal.entries import Deed

    if not reason.isprintable():
        raise UsageError("--reason is one line of text")
    record = run_facts(opened(config, output).say(run, Deed(deed), step=step, reason=reason))
    output.give(record, run_lines)
    output.finish(f"run {run} {outcome}")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    for command in (pause, resume, stop, skip):
        app.command(cls=Command, epilog=_CODES)(command)
