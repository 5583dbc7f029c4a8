"""`holdfast worker`: whoever does queued recoveries, drills and chores, and goes on with what a dead one left."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output, write_line
from holdfast.cli.phrases import count, printable
from holdfast.cli.site_options import ConfigOption, open_declared
from holdfast.units import parse_duration

if TYPE_CHECKING:
    import threading

    from holdfast.control.working.happenings import Happened
    from holdfast.control.working.worker import Worker

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Do queued recoveries, drills and chores, and see who does what.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_POLL_S = 0.2
_LOOK = {
    "_1": "failed: the extra `workers` is missing, or the queue cannot be used",
    "_3": "not found: no holdfast.yaml, no such database",
    "_4": "damage found: the queue cannot be read",
    "_5": "refused: the queue is another organisation's",
    "_6": "another process holds the queue up",
    "_7": "credentials or permission",
    "_8": "the database of the queue does not answer",
}


@app.command(
    cls=Command,
    epilog=exit_codes(
        2,
        **_LOOK
        | {
            "_0": "ended by a signal; or --once, and nothing failed",
            "_1": "failed: --once, and some work failed; or the extra `workers` is missing",
        },
    ),
)
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Do what is due and what waits, and end.")] = False,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", show_default=True, help="How long a signal waits for what runs.")
    ] = "30s",
    no_schedules: Annotated[
        bool, typer.Option("--no-schedules", help="Begin nothing by itself: only do what was submitted.")
    ] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do what was submitted, and what comes again by holdfast.yaml, until a signal ends it.

    Needs a keeper's key for recoveries. Several may share a queue (HOLDFAST_WORK_DB): what a dead one had is taken by
    another within seconds. On SIGTERM it takes nothing more, waits for what runs, and leaves the rest to others.
    """
    from holdfast.cli.watch_signals import stop_on_signals
    from holdfast.control.working.opening import open_queue
    from holdfast.control.working.worker import Worker

    output: Output = context.obj
    patience = parse_duration(grace)
    sites = open_declared(config, output, ask=False)
    queue = open_queue(sites, mend=True)
    teller = _Teller(output)
    worker = Worker(sites, queue, told=teller.tell, schedules=not no_schedules)
    with stop_on_signals() as stop:
        worker.start()
        if once:
            _until_idle(worker, stop)
        else:
            while not stop.wait(_POLL_S * 5):
                pass
        left = worker.stop(patience)
    failed = f", {count(teller.failed, 'piece')} of work failed" if teller.failed else ""
    output.finish(f"worker {worker.name}: {count(teller.done, 'piece')} done{failed}, {len(left)} handed over,")
    code = 1 if once and teller.failed else 0
    if left:  # their threads are still at it: they end with the process, and at once
        output.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    queue.close()
    if code:
        raise typer.Exit(code)


@app.command(cls=Command, epilog=exit_codes(0, 2, **_LOOK))
def status(
    context: typer.Context,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show who works, how much waits, and what comes again when. The moment of a surprise is told to nobody."""
    from holdfast.cli.facts.working import status_facts
    from holdfast.cli.views.working import worker_status_lines
    from holdfast.control.working.opening import open_queue

    output: Output = context.obj
    sites = open_declared(config, output, ask=False)
    queue = open_queue(sites)
    record = status_facts(queue, queue.open_work(), list(sites.config.webhooks), sites.clock.now_ns())
    output.give(record, worker_status_lines)
    queue.close()
    output.finish(f"{count(len(record.workers), 'worker')}, {record.queued:,} waiting,")


@app.command("list", cls=Command, epilog=exit_codes(0, 2, **_LOOK))
def list_work(
    context: typer.Context,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="Only this kind: recover.run, drill.run, …")] = "",
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=10_000, show_default=True, help="So many.")
    ] = 20,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what was submitted, the newest first, and what came of it. After 30 days it is forgotten."""
    from holdfast.cli.facts.working import list_facts
    from holdfast.cli.views.working import worker_list_lines
    from holdfast.control.working.opening import open_queue

    output: Output = context.obj
    queue = open_queue(open_declared(config, output, ask=False))
    record = list_facts(queue.shown, queue.list(kind, last))
    output.give(record, worker_list_lines)
    queue.close()
    output.finish(f"{count(len(record.work), 'piece')} of work")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        2,
        **_LOOK
        | {
            "_3": "not found: no holdfast.yaml, no such work",
            "_5": "refused: it has ended, or is ended in another way: the hint says which",
        },
    ),
)
def cancel(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of the work, as `worker list` shows it.")],
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do not begin a piece of work; of a chore that runs: end it at its next step.

    A recovery that runs is ended with `recover stop`, which takes back what it did; a drill with `drill stop`.
    """
    from holdfast.cli.facts.working import cancelled_facts
    from holdfast.cli.views.working import worker_cancelled_lines
    from holdfast.control.working.opening import open_queue

    output: Output = context.obj
    queue = open_queue(open_declared(config, output, ask=False))
    record = cancelled_facts(queue.shown, queue.cancel(key))
    output.give(record, worker_cancelled_lines)
    queue.close()
    output.finish(f"work {record.work.key} is {record.work.state},")


class _Teller:
    """A line for each thing that happens: JSON on stdout, or text on stderr. Called from several threads."""

    def __init__(self, output: Output) -> None:
        import threading

        self._output = output
        self._lock = threading.Lock()
        self.done = self.failed = 0

    def tell(self, one: Happened) -> None:
        from holdfast.control.working.happenings import log_line

        with self._lock:
            self.done += one.what == "done"
            self.failed += one.what == "failed"
            if self._output.json:
                import msgspec

                from holdfast.cli.facts.working import event_facts

                write_line(sys.stdout, msgspec.json.encode(event_facts(one)).decode())
            elif not self._output.quiet:
                write_line(sys.stderr, printable(log_line(one)))


def _until_idle(worker: Worker, stop: threading.Event) -> None:
    worker.submit_due()
    worker.look_for_events()
    while not stop.wait(_POLL_S):
        if worker.is_idle() and not worker.look_for_events():
            return
        time.sleep(_POLL_S)
