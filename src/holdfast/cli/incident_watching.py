"""`holdfast incident watch`, `observe` and `test-alert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.cli.output import Output
    from holdfast.control.incidents.watching import Round
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["add_to"]

As = Annotated[
    str, typer.Option("--as", metavar="NAME", help="Where it looks from, as part of its name; one key has one voice.")
]
Once = Annotated[bool, typer.Option("--once", help="One round, then end: for a timer of the system.")]


def watch(
    context: typer.Context,
    name: As = "",
    once: Once = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch: look, hear the other observers, open and resolve incidents, repair, tell people.

    Recoveries begin by themselves where holdfast.yaml and a standing approval allow it. Each round is a line of --json.
    Several may watch at a time. It ends with SIGTERM or Ctrl-C, and waits for a run that it began.
    """
    from holdfast.control.incidents.watching import Watcher

    output: Output = context.obj
    sites = open_declared(config, output)
    _require_probes(sites)
    tell = _telling(output, sites, name)
    watcher = Watcher(sites, name=name, told=tell)
    if once:
        watcher.run_round()
        watcher.stop()
        if watcher.failure is not None:
            raise watcher.failure
        output.finish("watched one round,")
        return
    from holdfast.cli.watch_signals import stop_on_signals

    with stop_on_signals() as stop:
        watcher.start()
        said = ""
        while not stop.wait(0.5):
            if watcher.problem != said:
                said = watcher.problem
                if said:
                    output.warn(said)
        watcher.stop()
    output.finish("watched,")


def observe(
    context: typer.Context,
    name: As = "",
    once: Once = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at everything as one observer, and say at the stores what was seen. It opens no incident, and tells nobody.

    A writer's key is enough where `detect.observers` names it. Its voice counts for all who watch.
    """
    from holdfast.cli.watch_signals import stop_on_signals
    from holdfast.control.incidents.watching import Watch
    from holdfast.errors import HoldfastError

    output: Output = context.obj
    sites = open_declared(config, output)
    _require_probes(sites)
    one = Watch(sites, place=name, acts=False)
    tell = _telling(output, sites, name)
    if once:
        tell(one.look())
        output.finish(f"observed as {one.name},")
        return
    with stop_on_signals() as stop:
        while not stop.is_set():
            try:
                tell(one.look())
            except HoldfastError as error:
                output.warn(error.message)
            stop.wait(max(0.1, sites.config.detect.every + one.jitter()))
    output.finish(f"observed as {one.name},")


def _require_probes(sites: DeclaredSites) -> None:
    if not sites.config.detect.probes:
        raise NotFoundError(
            f"{sites.loaded.path} declares nothing to look at", hint="`detect: {probes: …}`: docs/detection.md"
        )


def _telling(output: Output, sites: DeclaredSites, name: str) -> Callable[[Round], None]:
    """Each round as JSON, or the whole of it when something in it changed."""
    from holdfast.cli.facts.incidents import round_facts
    from holdfast.cli.views.incidents import round_lines

    last: list[object] = []

    def tell(done: Round) -> None:
        record = round_facts(done, name, sites.clock.now_ns())
        now = [
            [(one.probe, one.state) for one in record.verdicts],
            [(one.recovery, one.begins, one.why.rstrip("0123456789 s")) for one in record.decisions],
            sorted(record.problems),
        ]
        if output.json or now != last or record.opened or record.resolved or record.messages:
            output.give(record, round_lines)
        last[:] = now

    return tell


def test_alert(
    context: typer.Context,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Only this one of `notify`; by default all.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="NAME", help="Only this one of `webhooks`; by default all.")
    ] = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send a message that says that it is a test over each channel and webhook, now, and tell what came of it."""
    from holdfast.cli.schemas.incidents import IncidentTested
    from holdfast.cli.views.incidents import tested_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.hooks.sending import test_event
    from holdfast.control.incidents.reading import opened
    from holdfast.control.incidents.telling import Teller
    from holdfast.errors import CredentialError

    output: Output = context.obj
    sites = open_declared(config, output)
    vault, log = opened(sites)
    guard(vault, "incident.change")
    names = [channel] if channel else [] if webhook else list(sites.config.notify.all_channels())
    hooks = [webhook] if webhook else [] if channel else list(sites.config.webhooks)
    if not names and not hooks:
        raise NotFoundError(
            f"{sites.loaded.path} declares no channel and no webhook",
            hint="`notify: {channels: …}`: docs/alerts.md; `webhooks`: docs/webhooks.md",
        )
    teller = Teller(sites, log)
    outcomes: dict[str, str] = {}
    for one in names:
        try:
            outcomes[one] = teller.test(one).why
        except CredentialError as error:
            outcomes[one] = error.message
    told = {one: test_event(sites, one) for one in hooks}
    record = IncidentTested(channels=outcomes, webhooks=told)
    output.give(record, tested_lines)
    bad = sum(bool(why) for why in (*outcomes.values(), *told.values()))
    tried = f"{count(len(outcomes), 'channel')} and {count(len(told), 'webhook')}" if told else None
    output.finish(f"{tried or count(len(outcomes), 'channel')} tried, {bad} did not take it,")
    if bad:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the noun."""
    watched = exit_codes(0, 1, 2, 5, 7, 8, _3="not found: no holdfast.yaml, no probes in it")
    app.command(cls=Command, epilog=watched)(watch)
    app.command(cls=Command, epilog=watched)(observe)
    tested = exit_codes(
        0, 2, 5, 7, 8, _1="failed: some channel did not take it; each says why", _3="not found: no such channel"
    )
    app.command("test-alert", cls=Command, epilog=tested)(test_alert)
