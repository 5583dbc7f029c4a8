"""`holdfast drill report`, `status`, `stop`, `clear` and `experiment`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.drilling.stopping import Pulled
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["add_to"]

Drill = Annotated[str, typer.Argument(metavar="ID", help="A drill: its id, or the beginning of it.")]


def report(
    context: typer.Context,
    drill: Drill,
    against: Annotated[
        str, typer.Option("--against", metavar="ID", help="Beside another drill: what each part took.")
    ] = "",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what came of a drill, or of two side by side: with and without the loss of the control plane, say."""
    from holdfast.cli.facts.drills import compared_facts, ran_facts
    from holdfast.cli.views.drills import compared_lines, ran_lines
    from holdfast.control.drilling.listing import find_outcome

    output: Output = context.obj
    found = find_outcome(os.environ, drill)
    if against:
        output.give(compared_facts(found, find_outcome(os.environ, against)), compared_lines)
        output.finish("compared,")
        return
    output.give(ran_facts(found), ran_lines)
    output.finish(f"drill {found.id} {found.state.value},")


def status(
    context: typer.Context,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=200, show_default=True, help="So many.")] = 10,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show whether a drill is under way on this machine, whether they are stopped, and how the newest ended."""
    from holdfast.cli.facts.drills import short_facts
    from holdfast.cli.schemas.drills import DrillStatus
    from holdfast.cli.views.drills import status_lines
    from holdfast.control.drilling.leftovers import manifests
    from holdfast.control.drilling.listing import kept_outcomes
    from holdfast.drills.lever import Lever

    output: Output = context.obj
    found = list(manifests(os.environ, output.warn))
    running = next((one.drill for one in found if not one.cleared and not one.abandoned and one.made), "")
    record = DrillStatus(
        under_way=running,
        stopped=Lever(os.environ).pulled(),
        abandoned=[one.drill for one in found if one.abandoned],
        ended=[short_facts(one) for one in kept_outcomes(os.environ)[:last]],
    )
    output.give(record, status_lines)
    output.finish(f"drill {running} is under way," if running else "no drill is under way,")


def stop(
    context: typer.Context,
    drill: Annotated[str | None, typer.Argument(metavar="[ID]", help="The drill to stop; not with --all.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every drill, and none begins until --release.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Let drills begin again.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: one line.")] = "",
    here: Annotated[
        bool, typer.Option("--here", help="Move this machine's own lever alone; the stores are not told.")
    ] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Stop a drill, or all of them: at their next step, at the latest after a second. They clean up after themselves.

    With --all none begins any more, scheduled or not, until --release: on this machine, and on every one that reaches a
    store of holdfast.yaml. Whoever may stop or run drills pulls that lever, a keeper releases it.
    """
    from holdfast.cli.schemas.drills import DrillStopped
    from holdfast.cli.views.drills import stopped_lines
    from holdfast.control.drilling.leftovers import manifests
    from holdfast.drills.lever import Lever
    from holdfast.errors import NotFoundError

    output: Output = context.obj
    if sum(map(bool, (drill, all_, release))) != 1:
        raise UsageError("one of ID, --all and --release is given")
    if not reason.isprintable():
        raise UsageError("--reason is one line of text")
    if drill:
        known = [one.drill for one in manifests(os.environ) if not one.cleared and one.drill.startswith(drill)]
        if len(known) != 1:
            raise NotFoundError(f"no drill {drill!r} is under way here", hint="`holdfast drill status`")
        Lever(os.environ).stop(known[0], reason or "no reason was given")
        record = DrillStopped(drill=known[0], all=False, released=False, was_stopped=False, places=[], silent={})
    else:
        done = _move_lever(output, config, reason, release=release, here=here)
        record = DrillStopped(
            drill="",
            all=all_,
            released=release,
            was_stopped=release and done.stops > 0,
            places=list(done.places),
            silent=dict(done.silent),
        )
    output.give(record, stopped_lines)
    output.finish("drills may begin," if release else "told to stop,")


def _move_lever(output: Output, config: str | None, reason: str, *, release: bool, here: bool) -> Pulled:
    """At the stores of holdfast.yaml, too, where there is one."""
    from holdfast.clock import SYSTEM_CLOCK
    from holdfast.control.drilling.stopping import Pulled, release_all, stop_all
    from holdfast.drills.lever import Lever

    sites = None if here else _declared_here(output, config)
    if sites is None and not here:
        output.warn("there is no holdfast.yaml: the lever of this machine alone is moved")
    lever = Lever(os.environ)
    if sites is None and release:
        return Pulled((), {}, int(lever.release()))
    if sites is None:
        lever.pull(SYSTEM_CLOCK, reason or "no reason was given")
        return Pulled((), {})
    done = (release_all if release else stop_all)(sites, reason, ask=True)
    if not done.places and (done.stops or not release):
        output.warn("no store knows of it yet: the next `drill run` here tells those that answer")
    return done


def clear(context: typer.Context, config: ConfigOption = None, json: Json = False, quiet: Quiet = False) -> None:
    """Clear away what drills that died have left: what their manifests name, and nothing else.

    Every `drill run` does so first. A run that such a drill began at the stores of holdfast.yaml is stopped and taken
    back; without that file what it needs stays.
    """
    from holdfast.cli.schemas.drills import DrillCleared
    from holdfast.cli.views.drills import cleared_lines
    from holdfast.control.drilling.leftovers import clear_leftovers
    from holdfast.control.drilling.taking_back import take_back

    output: Output = context.obj
    sites = _declared_here(output, config)
    removed, left = clear_leftovers(os.environ, output.say, None if sites is None else partial(take_back, sites))
    output.give(DrillCleared(removed=removed, left=left), cleared_lines)
    output.finish(f"{count(len(left), 'thing')} left over,")
    if left:
        raise typer.Exit(1)


def experiment(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment: JSON or YAML.")],
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="FILE", help="Where the journal goes; default: journal.json.")
    ] = None,
    python: Annotated[
        list[str] | None, typer.Option("--python", metavar="MODULE", help="Functions of it may be called; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List all that would be run, and run nothing.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment in the format of Chaos Toolkit, and write a journal in its format.

    Providers process, http and python are known; what is not known is refused with its place in the file. An experiment
    acts on what it names: unlike a drill, nothing keeps it apart from what people work with. So the policies are asked
    (drill.run), and it is recorded in the audit log of holdfast.yaml.
    """
    from holdfast.cli.schemas.drills import ActivityFacts, DrillExperiment
    from holdfast.cli.views.drills import experiment_lines
    from holdfast.control.drilling.experimenting import run_experiment

    output: Output = context.obj
    where = journal if journal is not None else Path("journal.json")
    if dry_run:
        _list_experiment(output, file, python or [])
        return
    sites = _declared_here(output, config)
    found = run_experiment(file, where, sites=sites, modules=python or [], told=output.say)
    record = DrillExperiment(
        title=found.title,
        status=found.status,
        state=found.state,
        deviated=found.deviated,
        steady_before=found.steady_before,
        steady_after=found.steady_after,
        activities=[
            ActivityFacts(
                section=one.section,
                name=one.name,
                kind=one.kind,
                status=one.status,
                seconds=one.seconds,
                tolerance_met=one.tolerance_met,
            )
            for one in found.activities
        ],
        planned=[],
        journal=str(where),
    )
    output.give(record, experiment_lines)
    output.finish(f"the experiment {record.status},")
    if record.state != "PASSED":
        raise typer.Exit(1)


def _declared_here(output: Output, config: str | None) -> DeclaredSites | None:
    """What holdfast.yaml declares; None where none was named and there is none."""
    try:
        return open_declared(config, output, ask=False)
    except NotFoundError:
        if config:
            raise
        return None


def _list_experiment(output: Output, file: Path, modules: list[str]) -> None:
    from holdfast.cli.phrases import clean
    from holdfast.cli.schemas.drills import DrillExperiment, PlannedActivity
    from holdfast.cli.views.drills import experiment_planned_lines
    from holdfast.control.drilling.experimenting import list_experiment

    title, planned = list_experiment(file, modules)
    record = DrillExperiment(
        title=clean(title),
        status="read",
        state="NOT_MEASURED",
        deviated=False,
        steady_before=None,
        steady_after=None,
        activities=[],
        planned=[
            PlannedActivity(
                section=one.section,
                name=clean(one.name),
                kind=one.kind,
                provider=one.provider,
                does=clean(one.does),
                timeout_seconds=one.timeout,
                background=one.background,
                missing=clean(one.missing),
            )
            for one in planned
        ],
        journal="",
    )
    output.give(record, experiment_planned_lines)
    output.finish("read: nothing was run,")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    app.command(cls=Command, epilog=exit_codes(0, 2, _3="not found: no such drill here"))(report)
    app.command(cls=Command, epilog=exit_codes(0, 1, 2))(status)
    app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no such drill is under way"))(stop)
    app.command(
        cls=Command,
        epilog=exit_codes(
            2, 5, _0="nothing is left over", _1="something could not be removed", _3="no file of that name"
        ),
    )(clear)
    app.command(
        cls=Command,
        epilog=exit_codes(
            2,
            7,
            8,
            _0="completed, and the steady state was kept",
            _1="failed, aborted, interrupted, deviated, or no steady state",
            _3="not found: no such file",
            _5="refused: the lever is pulled, or the journal is there",
        ),
    )(experiment)
