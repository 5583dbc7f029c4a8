"""`holdfast recover approve`, `run`, `adopt` and `status`: runs of plans."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.phrases import count
from holdfast.cli.recover_options import PlanOrRun, PlanPath, Run, opened
from holdfast.cli.site_options import ConfigOption
from holdfast.errors import UsageError
from holdfast.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.cli.output import Output
    from holdfast.control.recovering.plan_files import PlanFile
    from holdfast.control.recovering.recovering import Recoveries, Status
    from holdfast.recovery.journal.state import RunState
    from holdfast.recovery.plans import Plan
    from holdfast.recovery.running.progress import Progress

__all__ = ["add_to", "give_run", "require_meant"]

_ENDED = ("done", "failed", "skipped", "undone")
_RAN = exit_codes(
    2,
    7,
    8,
    _0="PASSED: every step is in effect",
    _1="FAILED or STOPPED: what was done was taken back",
    _3="not found: no such file or run",
    _4="damage found: the journal was altered",
    _5="refused: by the review, or another control plane has it",
    _6="lost a race with another control plane: look again",
)


def approve(
    context: typer.Context,
    file: PlanOrRun,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it counts: 30min, 1h; at most a day.")],
    without: Annotated[
        str, typer.Option("--without", metavar="SITE", help="Of a run: this site of its journal is gone for good.")
    ] = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Approve a plan that somebody else asked for: signed with your keeper's key, bound to the plan's hash.

    It lies with the run's journal at the stores. A plan that is altered afterwards is another one, and not approved.

    With --without: that `recover adopt RUN --without SITE` leaves out a store of the run's journal. It counts for the
    journal as it stands now. Make sure that the site is gone: what went on there without the others is not found.
    """
    from holdfast.cli.facts.recoveries import approved_facts, left_out_facts
    from holdfast.cli.views.recoveries import approved_lines
    from holdfast.control.recovering.plan_files import read_plan_file

    output: Output = context.obj
    seconds = parse_duration(for_)
    if without:
        agreed = opened(config, output).approve_without(str(file), without, seconds)
        output.give(left_out_facts(agreed), approved_lines)
        output.finish(f"approved that run {agreed.run} goes on without {agreed.store},")
        return
    found = read_plan_file(file)
    record = approved_facts(found, opened(config, output).approve(found, seconds))
    output.give(record, approved_lines)
    output.finish(f"approved run {found.run},")


def run(
    context: typer.Context,
    file: PlanPath,
    target: Annotated[
        str, typer.Option("--target", metavar="DIR", help="A new folder to restore to; a rehearsal's is in the plan.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Leave it to a worker; `recover status` follows it.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a plan: fence, restore, verify, promote, step by step, each written to the journal before it counts.

    The plan is reviewed first. When a step fails for good, all that was done is taken back, in reverse. If this process
    dies, `recover adopt` goes on, here or on another machine.
    """
    from holdfast.control.recovering.plan_files import read_plan_file

    output: Output = context.obj
    found = read_plan_file(file)
    if not yes:
        require_meant(output, found.plan)
    recoveries = opened(config, output)
    if queue:
        _queue(output, recoveries, found, target)
        return
    output.say(f"run {found.run}: `holdfast recover adopt {found.run}` goes on with it if this process dies")
    _end(output, recoveries, recoveries.run(found, target, _watching(output)))


def adopt(
    context: typer.Context,
    run: Run,
    target: Annotated[
        str, typer.Option("--target", metavar="DIR", help="Where to restore to; by default as the run began.")
    ] = "",
    without: Annotated[
        str, typer.Option("--without", metavar="SITE", help="This site of its journal is gone for good.")
    ] = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run whose control plane is gone, from what lies at the stores alone.

    The control plane that had the run may change nothing from then on, should it still be there. What had begun and not
    ended is looked at first: what is in effect is not done again.

    With --without the other stores of the journal decide from now on, once another keeper has approved that (`recover
    approve RUN --without SITE`): of two stores the one that is left.
    """
    output: Output = context.obj
    recoveries = opened(config, output)
    _end(output, recoveries, recoveries.adopt(run, target, _watching(output), without))


def status(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run: 20 hex digits; by default the newest are listed.")
    ] = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=200, show_default=True, help="So many.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the run has ended.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what the stores say of a run, step by step, or list the newest runs."""
    from holdfast.cli.facts.recoveries import run_facts, runs_facts
    from holdfast.cli.views.recoveries import run_lines, runs_lines

    output: Output = context.obj
    recoveries = opened(config, output)
    if run is None and follow:
        raise UsageError("--follow follows one run", hint="name it: `recover status` lists the newest")
    if run is None:
        record = runs_facts(recoveries.runs(last))
        output.give(record, runs_lines)
        output.finish(f"{count(len(record.runs), 'run')},")
        return
    if follow:
        try:
            found = recoveries.follow(run, _following(output))
        except KeyboardInterrupt:
            output.warn(f"{run} goes on without this: `holdfast recover status {run} --follow` watches it again")
            raise
        give_run(output, found)
        return
    one = run_facts(recoveries.status(run))
    output.give(one, run_lines)
    output.finish(f"run {run} is {one.state},")


def require_meant(output: Output, plan: Plan) -> None:
    """Raises UsageError where nobody can be asked, typer.Exit when the answer is no."""
    if plan.intent.isolated:
        return
    if output.json or not sys.stdin.isatty():
        raise UsageError("a recovery changes which site counts: --yes says that it is meant")
    fences = ", ".join(step.site for step in plan.steps if step.kind == "fence") or "nothing"
    names = ", ".join(plan.intent.assets)
    output.pause()
    if not typer.confirm(f"recover {names} to {plan.site}, and fence {fences}?", err=True):
        output.finish("not run,")
        raise typer.Exit(1)


def _queue(output: Output, recoveries: Recoveries, file: PlanFile, target: str) -> None:
    """Hand it to the workers: they begin it, and whoever of them lives goes on with it."""
    from holdfast.cli.facts.recoveries import run_facts
    from holdfast.cli.views.recoveries import run_lines

    proposed = recoveries.submit(file, target)
    output.give(run_facts(proposed), run_lines)
    output.say(f"a worker begins it (`holdfast worker run`); `holdfast recover status {file.run} --follow` watches")
    output.finish(f"queued run {file.run},")


def _end(output: Output, recoveries: Recoveries, found: Status) -> None:
    """Evidence of what was done; what becomes of it does not change how the run ended."""
    problem = recoveries.write_evidence(found.run)
    if problem:
        output.warn(problem)
    give_run(output, found)


def _watching(output: Output) -> Callable[[Plan, Progress], None]:
    """A line for every change: how far it is, what is under way, and how long the rest takes."""
    last: list[str] = []

    def watch(plan: Plan, progress: Progress) -> None:
        from holdfast.units import format_duration

        left = format_duration(progress.left.seconds)
        eta = f"left: {left}" if progress.left.known else f"left: at least {left}"
        doing = f", {', '.join(progress.under_way)}" if progress.under_way else ""
        line = f"{progress.done} of {progress.steps} steps{doing}; {eta}"
        if [line] != last:
            last[:] = [line]
            output.say(line)

    return watch


def _following(output: Output) -> Callable[[Plan, RunState], None]:
    """A line for each step when it has ended, and for what people say to the run."""
    told: set[tuple[str, int]] = set()
    word: list[str] = []

    def seen(plan: Plan, state: RunState) -> None:
        from holdfast.recovery.running.progress import progress_of
        from holdfast.units import format_duration

        progress = progress_of(plan, state)
        left = format_duration(progress.left.seconds)
        left = left if progress.left.known else f"at least {left}"
        ended = sorted((one.number, name) for name, one in state.steps.items() if one.phase.value in _ENDED)
        for number, name in ended:
            if (name, number) not in told:
                told.add((name, number))
                output.say(f"{name}: {state.steps[name].phase.value}")
        if [state.word] != word and not state.verdict:
            output.say(f"{state.word}, {progress.done} of {progress.steps} steps; left: {left}")
        word[:] = [state.word]

    return seen


def give_run(output: Output, found: Status) -> None:
    """The run as its journal has it; the exit code says how it ended."""
    from holdfast.cli.facts.recoveries import run_facts
    from holdfast.cli.views.recoveries import run_lines

    record = run_facts(found)
    output.give(record, run_lines)
    output.finish(f"run {record.run} {record.state},")
    if record.ended is not None and record.state != "PASSED":
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    approved = exit_codes(
        0,
        1,
        2,
        6,
        7,
        8,
        _3="not found: no such file",
        _5="refused: who asked for a plan does not approve it; the run has ended",
    )
    app.command(cls=Command, epilog=approved)(approve)
    app.command(cls=Command, epilog=_RAN)(run)
    app.command(cls=Command, epilog=_RAN)(adopt)
    shown = exit_codes(0, 1, 2, 4, 5, 7, 8, _3="not found: no holdfast.yaml, no such run")
    app.command(cls=Command, epilog=shown)(status)
