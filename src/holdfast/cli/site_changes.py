"""`holdfast site fail`, `drain`, `add`, `rebuild` and `home`: changes of a site, each with a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.site_options import ConfigOption, SiteName, open_declared

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: one line, kept in the audit log, told to all.")
]
Force = Annotated[bool, typer.Option("--force", help="Do it in spite of what the plan refuses.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]
_CODES = exit_codes(
    0,
    2,
    6,
    7,
    8,
    _1="not all could be copied: say it again to go on",
    _3="not found: no holdfast.yaml, no such site",
    _5="refused: the plan says why",
)


class _Words(NamedTuple):
    """Of one command: its help, its outcome (`{}`: the site), and the reason where nobody gives one."""

    help: str
    finished: str
    reason: str = ""


_WORDS: Final = {
    "fail": _Words(
        """Take a site for lost: it is nobody's home any more, and nothing is copied from or to it.

        Assets that had their home there are saved to the next of their sites from now on. The plan says what is lost.
        """,
        "{} is taken for lost,",
    ),
    "drain": _Words(
        """Give a site up in good order: nobody saves there any more, and what only it has is copied to the others.

        Nothing is deleted there. When it is done, take the site out of holdfast.yaml.
        """,
        "{} is drained: take it out of holdfast.yaml,",
    ),
    "add": _Words(
        "Fill a site that is new in holdfast.yaml with all that is declared to lie there, and read the newest back.",
        "{} has all that it owes,",
        "it is new",
    ),
    "rebuild": _Words(
        """Bring a failed or drained site back, with the stores that it had or with empty ones.

        What only it has goes to the others first; then what it lacks comes to it; then it is as declared again.
        """,
        "{} is as declared again,",
    ),
    "home": _Words(
        """Make a site the home of the stripes that lie over it, while the old home is sound: as after a rebuild.

        All sites of the set must answer, and nobody may be writing. Where the home is lost, `site fail` moves it.
        """,
        "{} is the home of its stripes,",
    ),
}


def _command(change: str) -> Callable[..., None]:
    def command(
        context: typer.Context,
        site: SiteName,
        reason: Reason = "",
        force: Force = False,
        dry_run: DryRun = False,
        config: ConfigOption = None,
        json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        _change(context.obj, site, change, reason or _WORDS[change].reason, force, dry_run, config)

    return command


def _change(
    output: Output, site: str, change: str, reason: str, force: bool, dry_run: bool, config: str | None
) -> None:
    from holdfast.cli.facts.site_changes import site_change_facts
    from holdfast.cli.views.site_changes import site_change_lines
    from holdfast.control.sites.changing import apply_change, plan_change
    from holdfast.control.sites.states import Change

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
    output.finish(_WORDS[change].finished.format(site))


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    for change, words in _WORDS.items():
        app.command(change, cls=Command, epilog=_CODES, help=words.help)(_command(change))
