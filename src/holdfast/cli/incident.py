"""`holdfast incident`: what was noticed, who has it in hand, who watches, who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.incident_watching import add_to as add_watching
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.control.incidents.model import Incident
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="See incidents, take them in hand, watch for them, try who is told.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="An incident: its id, or the beginning of it.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="One line, kept with the incident.")]
_SAID = exit_codes(0, 1, 2, 7, 8, _3="not found: no such incident", _5="refused: it is resolved")


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml"))
def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=10_000, show_default=True, help="So many.")
    ] = 50,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List open incidents, the newest first, and what is silenced. All stores are asked, and this machine."""
    from holdfast.cli.facts.incidents import list_facts
    from holdfast.cli.views.incidents import list_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.incidents.reading import opened
    from holdfast.control.incidents.silences import Silences

    output: Output = context.obj
    sites = open_declared(config, output)
    vault, log = opened(sites)
    guard(vault, "incident.show")
    found = (log.incidents() if all_ else log.open_ones())[:last]
    record = list_facts(found, Silences(sites, vault.handle.keys).current())
    output.give(record, list_lines)
    for name, why in log.problems.items():
        output.warn(f"{name} was not asked: {why}")
    open_ = sum(one.is_open for one in found)
    output.finish(f"{count(len(found), 'incident')}, {open_} open,")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no such incident"))
def show(
    context: typer.Context, incident: Id, config: ConfigOption = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Show an incident: what was seen by whom, deadlines, who was told, what was tried and decided, and why."""
    from holdfast.control.authority.guarding import guard
    from holdfast.control.incidents.reading import one_of, opened

    output: Output = context.obj
    sites = open_declared(config, output)
    vault, log = opened(sites)
    guard(vault, "incident.show")
    _give(output, sites, one_of(log, incident), "is")


@app.command(cls=Command, epilog=_SAID)
def ack(
    context: typer.Context,
    incident: Id,
    note: Note = "",
    notified: Annotated[
        str, typer.Option("--notified", metavar="DEADLINE", help="Say instead that this authority was told.")
    ] = "",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take an incident in hand: nobody further is woken, and nothing begins by itself because of it.

    Signed with your keeper's key. Deadlines go on: --notified ends the one of that name.
    """
    from holdfast.control.incidents.acting import acknowledge
    from holdfast.control.incidents.acting import notified as say_notified

    output: Output = context.obj
    sites = open_declared(config, output)
    told = (lambda: say_notified(sites, incident, notified, note=note)) if notified else None
    _give(output, sites, told() if told is not None else acknowledge(sites, incident, note=note), "is")


@app.command(cls=Command, epilog=_SAID)
def resolve(
    context: typer.Context,
    incident: Id,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why it is over: one line.")],
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say that an incident is over, and why. What is still bad at the next round opens another one."""
    from holdfast.control.incidents.acting import resolve as say_resolved

    output: Output = context.obj
    sites = open_declared(config, output)
    _give(output, sites, say_resolved(sites, incident, note=note), "is")


def _give(output: Output, sites: DeclaredSites, incident: Incident, word: str) -> None:
    from holdfast.cli.facts.incidents import shown_facts
    from holdfast.cli.views.incidents import shown_lines
    from holdfast.control.incidents.opening import open_for_incidents
    from holdfast.control.incidents.reading import shown

    record = shown_facts(shown(sites, incident, open_for_incidents(sites)), sites.clock.now_ns())
    output.give(record, shown_lines)
    output.finish(f"incident {incident.id} {word} {incident.state},")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml"))
def silence(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An asset, a site, a probe, or `*` for all.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: one line.")],
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30min, 4h; at most a week.")],
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Maintenance: nobody is woken of it for so long, and nothing begins by itself. Incidents are kept all the same."""
    from holdfast.cli.facts.incidents import silenced_facts
    from holdfast.cli.views.incidents import silenced_lines
    from holdfast.control.incidents.acting import silence as add_silence
    from holdfast.units import parse_duration

    output: Output = context.obj
    sites = open_declared(config, output)
    made = add_silence(sites, what, reason, parse_duration(for_))
    output.give(silenced_facts(made), silenced_lines)
    output.finish(f"{what} is silenced,")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        7,
        8,
        _3="not found: no such recovery or keeper",
        _5="refused: nobody approves what they begin themselves",
    ),
)
def preapprove(
    context: typer.Context,
    recovery: Annotated[str, typer.Argument(metavar="RECOVERY", help="A recovery that is declared `automatic`.")],
    starter: Annotated[
        str, typer.Option("--starter", metavar="LABEL", help="The keeper whose runs it is for: who watches.")
    ] = "",
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it counts: at most 90d.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="End all that were given for this recovery.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Agree beforehand that a recovery may begin by itself, as it is declared now, within its limits.

    Signed with your keeper's key. It ends, and it counts for nothing once anything of its declaration is changed.
    """
    from holdfast.cli.facts.incidents import approved_facts
    from holdfast.cli.views.incidents import approved_lines
    from holdfast.control.incidents.acting import preapprove as approve
    from holdfast.units import parse_duration

    output: Output = context.obj
    if withdraw == bool(starter or for_) or bool(starter) != bool(for_):
        raise UsageError("this takes --starter and --for, or --withdraw alone")
    sites = open_declared(config, output)
    seconds = 0.0 if withdraw else parse_duration(for_)
    made = approve(sites, recovery, starter=starter, seconds=seconds)
    output.give(approved_facts(made), approved_lines)
    output.finish(f"{recovery}: " + ("standing approvals are withdrawn," if withdraw else "approved beforehand,"))


add_watching(app)
