"""`holdfast site fail`, `drain`, `add` and `rebuild`: changes of a site, each with a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.site_options import ConfigOption, SiteName, open_declared

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: one line, kept in the audit log.")]
Force = Annotated[bool, typer.Option("--force", help="Do it in spite of what the plan refuses.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]
_CODES = exit_codes(
    0,
    2,
    7,
    8,
    _1="not all could be copied: say it again to go on",
    _3="not found: no holdfast.yaml, no such site",
    _5="refused: the plan says why",
)


def fail(
    context: typer.Context,
    site: SiteName,
    reason: Reason = "",
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a site for lost: it is nobody's home any more, and nothing is copied from or to it.

    Assets that had their home there are saved to the next of their sites from now on. The plan says what is lost.
    """
    _change(context.obj, site, "fail", reason, force, dry_run, config)


def drain(
    context: typer.Context,
    site: SiteName,
    reason: Reason = "",
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give a site up in good order: nobody saves there any more, and what only it has is copied to the others.

    Nothing is deleted there. When it is done, take the site out of holdfast.yaml.
    """
    _change(context.obj, site, "drain", reason, force, dry_run, config)


def add(
    context: typer.Context,
    site: SiteName,
    reason: Reason = "",
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fill a site that is new in holdfast.yaml with all that is declared to lie there, and read the newest back."""
    _change(context.obj, site, "add", reason or "it is new", force, dry_run, config)


def rebuild(
    context: typer.Context,
    site: SiteName,
    reason: Reason = "",
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a failed or drained site back, with the stores that it had or with empty ones.

    What only it has goes to the others first; then what it lacks comes to it; then it is as declared again.
    """
    _change(context.obj, site, "rebuild", reason, force, dry_run, config)


def _change(
    output: Output, site: str, change: str, reason: str, force: bool, dry_run: bool, config: str | None
) -> None:
    from holdfast.cli.facts.site_changes import site_change_facts
    from holdfast.cli.views.site_changes import site_change_lines
    from holdfast.control.sites.changing import Change, apply_change, plan_change

    sites = open_declared(config, output)
    plan = plan_change(sites, site, Change(change))
    if dry_run:
        output.give(site_change_facts(plan), site_change_lines)
        output.finish("dry run: nothing was changed,")
        return
    if plan.barred or (plan.refusals and not force):
        output.give(site_change_facts(plan), site_change_lines)
    done = apply_change(sites, plan, reason, force=force)
    output.give(site_change_facts(plan, done), site_change_lines)
    if done.settled is False:
        output.finish(f"NOT all of {site} could be copied,")
        raise typer.Exit(1)
    output.finish(_FINISHED[change].format(site))


_FINISHED = {
    "fail": "{} is taken for lost,",
    "drain": "{} is drained: take it out of holdfast.yaml,",
    "add": "{} has all that it owes,",
    "rebuild": "{} is as declared again,",
}


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    for command in (fail, drain, add, rebuild):
        app.command(cls=Command, epilog=_CODES)(command)
