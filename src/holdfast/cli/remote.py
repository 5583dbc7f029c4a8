"""`--server`: the verbs that are decided, looked at or started, asked of a server instead of the stores.

The server gives the record that the command would have made; it is shown by the same lines. Which verbs these are is
one table, and the option is put on their commands when the program is put together: they know nothing of it.
What carries data (saving, restoring, copying) goes to the stores, by design.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["DIRECT", "REMOTE", "SERVER_VARIABLE", "add_servers"]

SERVER_VARIABLE: Final = "HOLDFAST_SERVER"


class Verb(NamedTuple):
    """`operation`: of `cli.serving`. `view`: `module:function` below `cli.views`. `takes`: the command's parameter →
    the operation's argument; parameters that are not listed cannot be used with a server, unless they are as usual.
    """

    operation: str
    view: str
    takes: dict[str, str]


REMOTE: Final = {
    "site list": Verb("site.list", "sites:site_list_lines", {}),
    "site show": Verb("site.show", "sites:site_show_lines", {"site": "site"}),
    "site status": Verb("site.status", "sites:site_status_lines", {}),
    "objective status": Verb("objective.status", "objectives:objective_lines", {"asset": "asset"}),
    "recover review": Verb("recover.review", "recoveries:reviewed_lines", {"file": "run"}),
    "recover approve": Verb("recover.approve", "recoveries:approved_lines", {"file": "run", "for_": "seconds"}),
    "recover pause": Verb("recover.say", "recoveries:run_lines", {"run": "run", "reason": "reason"}),
    "recover resume": Verb("recover.say", "recoveries:run_lines", {"run": "run", "reason": "reason"}),
    "recover stop": Verb("recover.say", "recoveries:run_lines", {"run": "run", "reason": "reason"}),
    "drill list": Verb("drill.list", "drills:list_lines", {}),
    "drill scenarios": Verb("drill.scenarios", "drills:scenarios_lines", {}),
    "drill report": Verb("drill.report", "drills:ran_lines", {"drill": "drill"}),
    "catalog status": Verb("catalog.status", "catalogs:catalog_status_lines", {}),
    "catalog show": Verb("catalog.show", "catalogs:catalog_shown_lines", {"asset": "asset"}),
    "worker status": Verb("worker.status", "working:worker_status_lines", {}),
    "worker list": Verb("worker.list", "working:worker_list_lines", {"kind": "kind", "last": "newest"}),
    "worker cancel": Verb("worker.cancel", "working:worker_cancelled_lines", {"key": "key"}),
}
"""Command → how a server is asked."""
DIRECT: Final = frozenset({"restore", "replicate", "snapshot save", "watch", "train-exec"})
"""Commands that carry data: they go to the stores, whatever HOLDFAST_SERVER says."""
_DEEDS: Final = {"recover pause": "paused", "recover resume": "resumed", "recover stop": "stopped"}
_OWN: Final = frozenset({"server", "json", "quiet", "config", "catalog", "context", "yes", "for_"})


def add_servers(program: Any, above: str = "", options: dict[bool, Any] | None = None) -> None:
    """Put the option on the commands of a group."""
    options = options or _options()
    for name, command in program.commands.items():
        path = f"{above} {name}".strip()
        if hasattr(command, "commands"):
            add_servers(command, path, options)
        elif path in REMOTE:
            command.params.append(options[False])
            command.elsewhere = partial(_ask, path, command)
        elif path in DIRECT:
            command.params.append(options[True])
            command.elsewhere = partial(_refuse, path)


def _options() -> dict[bool, Any]:
    """Hidden, or not → the option, as Typer makes it of a function."""
    made = typer.Typer()

    @made.command()
    def shown(
        server: Annotated[
            str,
            typer.Option(
                "--server", metavar="URL", envvar=SERVER_VARIABLE, show_envvar=True, help="Ask this server instead."
            ),
        ] = "",
    ) -> None: ...

    @made.command()
    def unseen(server: Annotated[str, typer.Option("--server", metavar="URL", hidden=True)] = "") -> None: ...

    commands = typer.main.get_command(made).commands  # type: ignore[attr-defined]
    return {name == "unseen": command.params[0] for name, command in commands.items()}


def _refuse(path: str, output: Output, server: str, given: dict[str, Any]) -> None:
    raise UsageError(
        f"`{path}` carries data, and goes to the stores themselves: no server stands between",
        hint="leave --server out",
    )


def _ask(path: str, command: Any, output: Output, server: str, given: dict[str, Any]) -> None:
    import importlib

    import msgspec

    from holdfast.cli.serving import operation_named
    from holdfast.control.remote.logins import open_server

    verb = REMOTE[path]
    operation = operation_named(verb.operation)
    usual = {param.name: param.default for param in command.params}
    for name, value in given.items():
        if name not in verb.takes and name not in _OWN and value not in (None, False, "", usual.get(name)):
            raise UsageError(f"--{name.replace('_', '-')} is not for a server", hint="leave it, or --server, out")
    wanted = {to: _value(path, name, given.get(name)) for name, to in verb.takes.items()}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if path in _DEEDS:
        wanted["deed"] = _DEEDS[path]
    remote = open_server(server, os.environ)
    address = "/api/v1" + operation.path
    for name in list(wanted):
        part = "{" + name + ":str}"
        if part in address:
            from urllib.parse import quote

            address = address.replace(part, quote(str(wanted.pop(name)), safe=""))
    if operation.method == "GET":
        record = remote.get(address, wanted, operation.gives)
    else:
        import secrets

        record = remote.post(address, wanted, operation.gives, key=secrets.token_hex(16))
    assert isinstance(record, msgspec.Struct)
    module, _, function = verb.view.partition(":")
    output.give(record, getattr(importlib.import_module(f"holdfast.cli.views.{module}"), function))
    output.finish(f"as {remote.shown} says,")


def _value(path: str, name: str, value: Any) -> Any:
    """As the operation takes it: a run's id in place of its plan's file, seconds of a duration, one asset."""
    if name == "file" and value is not None:
        text = str(value)
        from holdfast.control.recovering.plan_files import is_run_id, read_plan_file

        return text if is_run_id(text) else read_plan_file(value).run
    if name == "for_":
        from holdfast.units import parse_duration

        return parse_duration(value)
    if isinstance(value, (list, tuple)):
        if len(value) > 1:
            raise UsageError(f"`{path}` asks a server for one --{name} at a time")
        return value[0] if value else None
    return value
