"""How help pages look: usage, text, arguments, options, exit codes; at most 80 columns."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from holdfast.cli.output import Output

__all__ = ["Command", "Group", "Program"]

# Typer does not export the type of its formatter, hence `Any`.


class Command(TyperCommand):
    """A verb. While it runs, its context's `obj` is the `Output` that its flags `--json` and `--quiet` ask for.

    `elsewhere`: what is done instead where `--server` names one (`holdfast.cli.remote`). `beforehand`: what is
    said before it is done here.
    """

    elsewhere: Callable[[Output, str, dict[str, Any]], None] | None = None
    beforehand: Callable[[Output], None] | None = None

    def invoke(self, ctx: Any) -> Any:
        output = Output(json=bool(ctx.params.get("json")), quiet=bool(ctx.params.get("quiet")))
        ctx.obj = output
        try:
            if self.elsewhere is not None and (server := ctx.params.pop("server", "")):
                return self.elsewhere(output, server, ctx.params)
            if self.beforehand is not None:
                self.beforehand(output)
            return super().invoke(ctx)
        finally:
            output.close()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Who asks a server need not name a vault."""
        asks = os.environ.get("HOLDFAST_SERVER") or any(one.partition("=")[0] == "--server" for one in args)
        if not (asks and self.elsewhere):
            return super().parse_args(ctx, args)
        spared = copy.copy(self)
        spared.params = [copy.copy(one) for one in self.params]
        for one in spared.params:
            one.required = one.required and one.name != "vault"
        return super(Command, spared).parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        needed = [
            f"{param.opts[0]} {param.metavar}"
            for param in self.params
            if isinstance(param, TyperOption) and param.required
        ]
        arguments = [_argument_name(param) for param in self.params if isinstance(param, TyperArgument)]
        return [*arguments, *needed, "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _format_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Group(TyperGroup):
    """A noun, or the whole program."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _format_options(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, _first_sentence(self.commands[name].help or "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Program(Group):
    """The whole program: its commands in the order in which one comes to need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = (
            "demo",
            "vault",
            "snapshot",
            "retention",
            "lock",
            "restore",
            "watch",
            "train-exec",
            "replicate",
            "site",
            "tier",
            "objective",
            "recover",
            "drill",
            "evidence",
            "incident",
            "serve",
            "login",
            "worker",
            "catalog",
            "key",
            "audit",
            "policy",
            "config",
        )
        return sorted(self.commands, key=order.index)


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ").partition(". ")[0].rstrip(".")


def _argument_name(param: TyperArgument) -> str:
    return param.metavar or param.name.upper()


def _format_options(command: TyperCommand | TyperGroup, ctx: typer.Context, formatter: Any) -> None:
    arguments = [(_argument_name(p), p.help or "") for p in command.params if isinstance(p, TyperArgument)]
    records = [param.get_help_record(ctx) for param in command.get_params(ctx) if isinstance(param, TyperOption)]
    options = [record for record in records if record is not None]
    for heading, rows in (("Arguments", arguments), ("Options", options)):
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)
