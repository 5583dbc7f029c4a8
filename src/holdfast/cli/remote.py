"""`--server`: the verbs that are decided, looked at or started, asked of a server instead of the stores.

The server gives the record that the command would have made; it is shown by the same lines. Which verbs these are is
one table, and the option is put on their commands when the program is put together: they know nothing of it.
What carries data (saving, restoring, copying) goes to the stores, by design.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["DIRECT", "REMOTE", "SERVER_VARIABLE", "add_servers"]

SERVER_VARIABLE: Final = "HOLDFAST_SERVER"


class Verb(NamedTuple):
    """`operation`: of `cli.serving`. `view`: `module:function` below `cli.views`; of a command that asks for more than
    one thing, both are empty and `apart` is the function of `cli.asking_servers`.

    `takes`: the command's parameter → the operation's argument; parameters that are not listed cannot be used with a
    server, unless they are as usual. `always`: further arguments.
    """

    operation: str
    view: str
    takes: dict[str, str]
    always: Mapping[str, str] = MappingProxyType({})
    apart: str = ""


def _apart(function: str, *takes: str) -> Verb:
    return Verb("", "", dict.fromkeys(takes, ""), apart=function)


def _saying(deed: str, **more: str) -> Verb:
    return Verb("recover.say", "recoveries:run_lines", {"run": "run", "reason": "reason"} | more, {"deed": deed})


REMOTE: Final = {
    "site list": Verb("site.list", "sites:site_list_lines", {}),
    "site show": Verb("site.show", "sites:site_show_lines", {"site": "site"}),
    "site status": Verb("site.status", "sites:site_status_lines", {}),
    "site exposure": Verb(
        "site.exposure", "exposures:site_exposure_lines", {"asset": "asset", "site": "site", "since": "since"}
    ),
    "objective status": _apart("objective_status", "asset", "check"),
    "snapshot list": _apart("snapshot_list", "asset", "limit"),
    "snapshot show": _apart("snapshot_show", "ref", "tensors", "files", "codecs", "circumstances"),
    "recover plan": _apart(
        "plan",
        *("name", "to", "as_of", "graceful", "isolated", "reason", "fault_at", "noticed_at"),
        *("out", "markdown", "diagram"),
    ),
    "recover review": _apart("review", "file"),
    "recover check": _apart("check", "name", "to", "as_of", "isolated"),
    "recover approve": _apart("approve", "file", "for_"),
    "recover run": _apart("run", "file", "target", "yes", "queue"),
    "recover adopt": _apart("adopt", "run", "target"),
    "recover status": _apart("status", "run", "last", "follow"),
    "recover pause": _saying("paused"),
    "recover resume": _saying("resumed"),
    "recover stop": _saying("stopped"),
    "recover skip": _saying("skipped", step="step"),
    "incident list": Verb("incident.list", "incidents:list_lines", {"all_": "all", "last": "newest"}),
    "incident show": Verb("incident.show", "incidents:shown_lines", {"incident": "incident"}),
    "incident ack": Verb("incident.ack", "incidents:shown_lines", {"incident": "incident", "note": "note"}),
    "incident resolve": Verb("incident.resolve", "incidents:shown_lines", {"incident": "incident", "note": "note"}),
    "evidence list": Verb("evidence.list", "evidence:list_lines", {"last": "newest"}),
    "evidence show": Verb("evidence.show", "evidence:shown_lines", {"run": "run"}),
    "evidence export": _apart("evidence_export", "run", "folder"),
    "audit show": _apart("audit_show", "actor", "action", "decision", "since", "until"),
    "drill run": _apart("drill_run", "name", "scenario"),
    "drill stop": _apart("drill_stop", "drill", "all_", "release", "reason"),
    "drill status": Verb("drill.status", "drills:status_lines", {"last": "newest"}),
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
LOCAL: Final = frozenset({"config", "demo", "evidence verify", "key", "login", "serve", "worker run"})
"""Nouns and commands that are about this machine alone: HOLDFAST_SERVER is nothing to them."""
_OWN: Final = frozenset({"server", "json", "quiet", "config", "catalog", "context", "vault", "store_option"})


def add_servers(program: Any, above: str = "", options: dict[str, Any] | None = None) -> None:
    """Put the option on the commands of a group."""
    options = options or _options()
    for name, command in program.commands.items():
        path = f"{above} {name}".strip()
        if hasattr(command, "commands"):
            add_servers(command, path, options)
        elif path in REMOTE:
            command.params.append(options["shown"])
            command.elsewhere = partial(_ask, path, command)
        elif path in DIRECT:
            command.params.append(options["unseen"])
            command.elsewhere = partial(_refuse, path)
            command.beforehand = partial(_remark, path)
        elif path not in LOCAL and path.partition(" ")[0] not in LOCAL:
            command.params.append(options["unheeded"])
            command.elsewhere = partial(_not_there, path)


def _options() -> dict[str, Any]:
    """The option as Typer makes it of a function: shown, not shown, and not shown but for the variable."""
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

    @made.command()
    def unheeded(
        server: Annotated[str, typer.Option("--server", metavar="URL", envvar=SERVER_VARIABLE, hidden=True)] = "",
    ) -> None: ...

    commands = typer.main.get_group(made).commands
    return {name: command.params[0] for name, command in commands.items()}


def _refuse(path: str, output: Output, server: str, given: dict[str, Any]) -> None:
    raise UsageError(
        f"`{path}` carries data, and goes to the stores themselves: no server stands between",
        hint="leave --server out",
    )


def _remark(path: str, output: Output) -> None:
    if os.environ.get(SERVER_VARIABLE):
        output.say(f"`{path}` carries data: it goes to the stores themselves, whatever {SERVER_VARIABLE} says")


def _not_there(path: str, output: Output, server: str, given: dict[str, Any]) -> None:
    raise UsageError(
        f"`{path}` is done on this machine, and no server does it for others",
        hint=f"leave --server out, and {SERVER_VARIABLE} empty, where it is meant for this machine",
    )


def _ask(path: str, command: Any, output: Output, server: str, given: dict[str, Any]) -> None:
    import importlib

    from holdfast.cli import asking_servers
    from holdfast.control.remote.logins import open_server

    verb = REMOTE[path]
    usual = {param.name: param.default for param in command.params}
    for name, value in given.items():
        if name not in verb.takes and name not in _OWN and value not in (None, False, "", [], (), usual.get(name)):
            raise UsageError(f"--{name.replace('_', '-')} is not for a server", hint="leave it, or --server, out")
    remote = open_server(server, os.environ)
    if verb.apart:
        getattr(asking_servers, verb.apart)(remote, output, given)
        return
    wanted: dict[str, Any] = {to: _value(path, name, given.get(name)) for name, to in verb.takes.items()}
    if path == "incident list":
        wanted["open_only"] = not wanted.pop("all")
    record = asking_servers.ask_operation(remote, verb.operation, wanted | dict(verb.always))
    module, _, function = verb.view.partition(":")
    output.give(record, getattr(importlib.import_module(f"holdfast.cli.views.{module}"), function))
    output.finish(f"as {remote.shown} says,")


def _value(path: str, name: str, value: Any) -> Any:
    """One asset where a command takes several."""
    if isinstance(value, (list, tuple)):
        if len(value) > 1:
            raise UsageError(f"`{path}` asks a server for one --{name} at a time")
        return value[0] if value else None
    return value
