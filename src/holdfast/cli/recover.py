"""`holdfast recover`: plans of recoveries, whether they may be run, and whether they could be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.recover_options import PlanPath, opened
from holdfast.cli.recover_runs import add_to as add_runs
from holdfast.cli.recover_saying import add_to as add_saying
from holdfast.cli.site_options import ConfigOption
from holdfast.errors import FailedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.cli.output import Page
    from holdfast.cli.schemas.recoveries import RecoverPlanned
    from holdfast.control.recovering.intending import Wanted
    from holdfast.control.recovering.plan_files import PlanFile

__all__ = ["app", "plan_view", "write_plan"]

app = typer.Typer(
    cls=Group,
    help="Plan, approve, run and adopt recoveries.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recovery of the file, or an asset.")]
To = Annotated[str, typer.Option("--to", metavar="SITE", help="Only to this site; by default as is declared.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="Content of then or before: 2026-11-20T10:00Z.")
]


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 1, 2, 7, 8, _3="not found: no holdfast.yaml, no such recovery", _5="refused: no site will do; each says why"
    ),
)
def plan(
    context: typer.Context,
    name: Name,
    to: To = "",
    as_of: AsOf = None,
    graceful: Annotated[
        bool, typer.Option("--graceful", help="The home answers: it is stopped in good order, and saved once more.")
    ] = False,
    isolated: Annotated[
        str | None, typer.Option("--isolated", metavar="DIR", help="A rehearsal into DIR: nothing else is touched.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: one line, kept with the plan.")] = "",
    fault_at: Annotated[
        str | None, typer.Option("--fault-at", metavar="TIME", help="When it happened, where that is known.")
    ] = None,
    noticed_at: Annotated[
        str | None, typer.Option("--noticed-at", metavar="TIME", help="When somebody knew of it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the plan, to be approved and run.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as a page, lines as they are.")] = False,
    diagram: Annotated[bool, typer.Option("--diagram", help="Print its steps as a Mermaid flowchart.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan how an asset or a group comes back: where, from which copy, in which order, and how long it takes.

    All stores are asked what they have now. Each figure says where it is from; what nobody measured is NOT_MEASURED.
    Nothing is changed. `recover run` runs the file of --out, once others have approved it.
    """
    from holdfast.cli.facts.recoveries import planned_facts

    output: Output = context.obj
    if markdown and diagram:
        raise UsageError("--markdown and --diagram are two ways of printing", hint="give one of them")
    wanted = _wanted(name, to, as_of, graceful, isolated, reason)
    wanted = wanted._replace(fault_at=_moment(fault_at), noticed_at=_moment(noticed_at))
    if out is not None and out.exists():
        raise FailedError(f"{out} exists already", hint="plans are not replaced: name another file")
    file = opened(config, output).plan(wanted)
    if out is not None:
        write_plan(out, file)
    output.give(planned_facts(file, None if out is None else str(out)), plan_view(file, markdown, diagram))
    if len(file.journal) == 2:
        output.warn("the journal of the run lies at two stores: both are needed as long as it runs")
    if len(file.journal) == 1:
        output.warn("the journal of the run lies at one store only: no other answers")
    output.finish(f"planned run {file.run}" + (f" in {out}" if out is not None else "") + ",")


def _wanted(name: str, to: str, as_of: str | None, graceful: bool, isolated: str | None, reason: str) -> Wanted:
    from holdfast.control.recovering.intending import Wanted
    from holdfast.control.recovering.places import absolute

    if reason and not reason.isprintable():
        raise UsageError("--reason is one line of text")
    target = str(absolute(isolated)) if isolated is not None else ""
    return Wanted(name, to, _moment(as_of), graceful, isolated is not None, target, reason)


def _moment(text: str | None) -> int | None:
    """ns since the epoch. Raises UsageError."""
    from holdfast.clock import from_rfc3339

    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", hint="for example 2026-11-20T10:00:00Z") from error


def write_plan(path: Path, file: PlanFile) -> None:
    from holdfast.control.recovering.plan_files import encode_plan_file

    try:
        with path.open("xb") as stream:
            stream.write(encode_plan_file(file))
    except OSError as error:
        raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error


def plan_view(file: PlanFile, markdown: bool, diagram: bool) -> Callable[[RecoverPlanned, Page], Iterator[str]]:
    """Prints the plan itself: as a page, as a flowchart, or as a page that fits the terminal."""

    def lines(record: RecoverPlanned, page: Page) -> Iterator[str]:
        from holdfast.cli.views.layout import folded
        from holdfast.recovery.telling import plan_diagram, plan_markdown

        if diagram:
            yield from plan_diagram(file.plan).splitlines()
            return
        text = plan_markdown(file.plan).splitlines()
        yield from text if markdown else folded(text, page.width)

    return lines


@app.command(
    cls=Command, epilog=exit_codes(0, 1, 2, 7, 8, _3="not found: no such file", _5="refused: the plan may not be run")
)
def review(
    context: typer.Context, file: PlanPath, config: ConfigOption = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Look whether a plan may be run now: all that it relies on is looked at once more, and its approvals."""
    from holdfast.cli.facts.recoveries import reviewed_facts
    from holdfast.cli.views.recoveries import reviewed_lines
    from holdfast.control.recovering.plan_files import read_plan_file

    output: Output = context.obj
    found = read_plan_file(file)
    record = reviewed_facts(found, opened(config, output).review(found))
    output.give(record, reviewed_lines)
    output.finish(f"run {found.run} " + ("may be run," if record.passed else "is refused,"))
    if not record.passed:
        raise typer.Exit(5)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 1, 2, 7, 8, _3="not found: no such recovery", _5="refused: it could not be recovered so now; it says why"
    ),
)
def check(
    context: typer.Context,
    name: Name,
    to: To = "",
    as_of: AsOf = None,
    isolated: Annotated[
        str | None, typer.Option("--isolated", metavar="DIR", help="As a rehearsal into DIR would be.")
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan, review, and ask each step whether it could be done now. Nothing is changed: for every night."""
    from holdfast.cli.facts.recoveries import checked_facts
    from holdfast.cli.views.recoveries import checked_lines

    output: Output = context.obj
    file, reviewed, problems = opened(config, output).check(_wanted(name, to, as_of, False, isolated, ""))
    record = checked_facts(file, reviewed, problems)
    output.give(record, checked_lines)
    bad = len(record.refusals) + len(record.not_possible)
    output.finish(f"{name}: {count(bad, 'problem')}," if bad else f"{name} could be recovered now,")
    if bad:
        raise typer.Exit(5)


add_runs(app)
add_saying(app)
