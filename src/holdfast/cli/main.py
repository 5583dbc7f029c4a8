"""The program: nouns put together, errors turned into words and exit codes."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from holdfast.cli.audit import app as audit_app
from holdfast.cli.catalog import app as catalog_app
from holdfast.cli.config import app as config_app
from holdfast.cli.demo import add_to as add_demo
from holdfast.cli.drill import app as drill_app
from holdfast.cli.evidence import app as evidence_app
from holdfast.cli.exit_codes import PIPE_CLOSED
from holdfast.cli.failing import tell_failure, tell_interrupt, tell_unexpected, tell_usage
from holdfast.cli.help import Program
from holdfast.cli.incident import app as incident_app
from holdfast.cli.key import app as key_app
from holdfast.cli.lock import app as lock_app
from holdfast.cli.login import add_to as add_login
from holdfast.cli.objective import app as objective_app
from holdfast.cli.output import write_line
from holdfast.cli.policy import app as policy_app
from holdfast.cli.recover import app as recover_app
from holdfast.cli.remote import add_servers
from holdfast.cli.replicate import add_to as add_replicate
from holdfast.cli.restore import add_to as add_restore
from holdfast.cli.retention import app as retention_app
from holdfast.cli.serve import add_to as add_serve
from holdfast.cli.site import app as site_app
from holdfast.cli.snapshot import app as snapshot_app
from holdfast.cli.tier import app as tier_app
from holdfast.cli.train_exec import add_to as add_train_exec
from holdfast.cli.vault import app as vault_app
from holdfast.cli.watch import add_to as add_watch
from holdfast.cli.worker import app as worker_app
from holdfast.errors import HoldfastError
from holdfast.version import VERSION

__all__ = ["NOUNS", "app", "commands_of", "main", "program"]

app = typer.Typer(
    name="holdfast",
    cls=Program,
    help="Disaster recovery for AI training: know your RPO, prove your RTO.",
    epilog="Each command lists its options and exit codes: holdfast COMMAND --help",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
add_demo(app)
app.add_typer(vault_app, name="vault")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(retention_app, name="retention")
app.add_typer(lock_app, name="lock")
add_restore(app)
add_watch(app)
add_train_exec(app)
add_replicate(app)
app.add_typer(site_app, name="site")
app.add_typer(tier_app, name="tier")
app.add_typer(objective_app, name="objective")
app.add_typer(recover_app, name="recover")
app.add_typer(incident_app, name="incident")
app.add_typer(drill_app, name="drill")
app.add_typer(evidence_app, name="evidence")
add_serve(app)
add_login(app)
app.add_typer(key_app, name="key")
app.add_typer(audit_app, name="audit")
app.add_typer(policy_app, name="policy")
app.add_typer(config_app, name="config")
app.add_typer(catalog_app, name="catalog")
app.add_typer(worker_app, name="worker")


def _print_version(wanted: bool) -> None:
    if wanted:
        write_line(sys.stdout, f"holdfast {VERSION}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default the process's own) and return its exit code. Raises nothing."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # NumPy's BLAS would start a spinning thread for each core, and nothing here multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return _run(given, json="--json" in _before_dashes(given))
    except BrokenPipeError:
        _close_pipes()
        return PIPE_CLOSED


def program() -> Any:
    """All commands, with what several of them have in common."""
    return _made(app)


@functools.cache
def commands_of(noun: str) -> Any:
    """The program with the commands of one noun only, made once in a process; with all of them for what is no noun.

    To make all of them takes as long as everything else in a short command.
    """
    if noun not in NOUNS:
        return program()
    only = copy.copy(app)
    only.registered_groups = [one for one in app.registered_groups if one.name == noun]
    only.registered_commands = [one for one in app.registered_commands if _name(one) == noun]
    return _made(only)


def _made(commands: typer.Typer) -> Any:
    command = typer.main.get_command(commands)
    add_servers(command)
    return command


def _name(command: Any) -> str:
    """As Typer names it."""
    return command.name or typer.main.get_command_name(command.callback.__name__)


NOUNS = frozenset(str(one.name) for one in app.registered_groups) | {_name(one) for one in app.registered_commands}
"""The first words of all commands; some are commands themselves."""


def _run(given: list[str], *, json: bool) -> int:
    command = commands_of(given[0] if given and given[0] in NOUNS else "")
    try:
        with command.make_context("holdfast", given) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        return tell_usage(error, json=json)
    except KeyboardInterrupt:
        return tell_interrupt(json=json)
    except HoldfastError as error:
        return tell_failure(error, json=json)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost frame: a person gets words, not a traceback
        return tell_unexpected(error, json=json)
    return 0


def _before_dashes(given: list[str]) -> list[str]:
    return given[: given.index("--")] if "--" in given else given


def _close_pipes() -> None:
    """What is still buffered goes nowhere: else the interpreter would complain about it on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
