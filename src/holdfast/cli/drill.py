"""`holdfast drill`: faults on purpose, in places of their own, and what the recoveries make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.drill_reports import add_to as add_reports
from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.drills.outcomes import DrillOutcome

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Break something on purpose, apart from all else, and recover.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A drill of holdfast.yaml; not with --recovery or --sandbox.")
]
RecoveryName = Annotated[str, typer.Option("--recovery", metavar="NAME", help="A recovery of holdfast.yaml instead.")]
ScenarioOption = Annotated[
    str, typer.Option("--scenario", metavar="S", help="What is broken; by default as declared, else site-lost.")
]
LevelOption = Annotated[
    str, typer.Option("--level", metavar="L", help="tabletop, component, simulation or functional.")
]
Machines = Annotated[
    bool, typer.Option("--machines", help="Start its service, too, on machines that take over (functional).")
]
Where = Annotated[
    Path | None, typer.Option("--where", metavar="DIR", help="Make the trial below DIR; by default in the state home.")
]


@app.command(
    cls=Command,
    epilog=exit_codes(
        2,
        7,
        8,
        _0="PASSED, and every objective that was measured is met",
        _1="FAILED (the recovery), STOPPED, or ERROR (the drill itself broke)",
        _3="not found: no such drill, recovery or scenario",
        _5="refused: it would not be safe now; all reasons are given",
        _6="another drill is under way on this machine",
        _9="PASSED, and an objective was missed",
    ),
)
def run(
    context: typer.Context,
    name: Name = None,
    recovery: RecoveryName = "",
    scenario: ScenarioOption = "",
    level: LevelOption = "",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="In a trial organisation made from nothing: no file, no keys needed.")
    ] = False,
    where: Where = None,
    machines: Machines = False,
    plant: Annotated[
        str, typer.Option("--plant", metavar="P", help="Make something go wrong on purpose, to try the drill itself.")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the trial where it is, with its keys.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a drill: a fault in a trial of its own, the same recovery as in earnest, and what it took.

    The asset's newest snapshots are copied; a group, stripes, and services with --machines are recovered in isolation.
    Nothing that people work with is touched. What the drill made is removed whatever happens. PASSED and FAILED are
    about the recovery; ERROR is about the drill, and says nothing of it.
    """
    output: Output = context.obj
    _require_one(name, recovery, sandbox)
    if level:
        _require_level(level)
    if sandbox:
        from holdfast.control.drilling.sandboxes import run_sandbox

        found = run_sandbox(scenario or "site-lost", where=where, told=output.say, plant=plant, keep=keep)
    else:
        from holdfast.control.drilling.declared import run_drill

        sites = open_declared(config, output, ask=False)
        wanted = recovery or name or ""
        found = run_drill(
            sites,
            wanted,
            scenario=scenario,
            level=level,
            where=where,
            told=output.say,
            plant=plant,
            keep=keep,
            machines=machines,
        )
    give_outcome(output, found)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 1, 2, 7, 8, _3="not found: no such drill, recovery or scenario", _5="refused: it would not be safe now"
    ),
)
def plan(
    context: typer.Context,
    name: Name = None,
    recovery: RecoveryName = "",
    scenario: ScenarioOption = "",
    level: LevelOption = "",
    where: Where = None,
    machines: Machines = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a drill would do, and all that speaks against it now. Nothing is changed."""
    from holdfast.cli.facts.drills import planned_facts
    from holdfast.cli.views.drills import planned_lines
    from holdfast.control.drilling.declared import plan_drill

    output: Output = context.obj
    _require_one(name, recovery, sandbox=False)
    if level:
        _require_level(level)
    sites = open_declared(config, output, ask=False)
    wanted = recovery or name or ""
    planned = plan_drill(sites, wanted, scenario=scenario, level=level, where=where, machines=machines)
    record = planned_facts(planned)
    output.give(record, planned_lines)
    bad = len(record.refusals)
    output.finish(f"{count(bad, 'reason')} against it," if bad else "it may be run,")
    if bad:
        raise typer.Exit(5)


@app.command("list", cls=Command, epilog=exit_codes(0, 2, _3="not found: no holdfast.yaml", _5="refused: a rule"))
def list_(context: typer.Context, config: ConfigOption = None, json: Json = False, quiet: Quiet = False) -> None:
    """List the drills of holdfast.yaml, how the last of each ended on this machine, and which are overdue."""
    from holdfast.cli.facts.drills import list_facts
    from holdfast.cli.views.drills import list_lines
    from holdfast.control.drilling.declared import list_drills
    from holdfast.control.drilling.listing import kept_outcomes
    from holdfast.drills.lever import Lever

    output: Output = context.obj
    sites = open_declared(config, output, ask=False)
    others = [one for one in kept_outcomes(sites.environment) if not one.facts.name]
    stopped = Lever(sites.environment, sites.config.organisation).pulled()
    record = list_facts(str(sites.loaded.path), list_drills(sites), others[:10], stopped, sites.clock.now_ns())
    output.give(record, list_lines)
    output.finish(f"{count(len(record.drills), 'drill')} declared,")


@app.command(cls=Command, epilog=exit_codes(0, 2))
def scenarios(context: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """List what can be broken, what has to come of it, what of it is real, and what is simulated."""
    from holdfast.cli.facts.drills import scenarios_facts
    from holdfast.cli.views.drills import scenarios_lines

    output: Output = context.obj
    record = scenarios_facts()
    output.give(record, scenarios_lines)
    output.finish(f"{count(len(record.scenarios), 'scenario')},")


def give_outcome(output: Output, found: DrillOutcome) -> None:
    """The whole of it; the exit code says how it ended."""
    from holdfast.cli.facts.drills import ran_facts
    from holdfast.cli.views.drills import ran_lines

    output.give(ran_facts(found), ran_lines)
    missed = ", and an objective was missed" if found.exit_code == 9 else ""
    output.finish(f"drill {found.id} {found.state.value}{missed},")
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _require_one(name: str | None, recovery: str, sandbox: bool) -> None:
    given = [one for one in (name, recovery, sandbox) if one]
    if len(given) != 1:
        raise UsageError(
            "one thing is rehearsed: a drill by its NAME, or --recovery NAME, or --sandbox",
            hint="`holdfast drill list` names the drills that are declared",
        )


def _require_level(level: str) -> None:
    known = ("tabletop", "component", "simulation", "functional")
    if level not in known:
        raise UsageError(f"there is no level {level!r}", hint=f"one of {', '.join(known)}")


add_reports(app)
