"""What commands and options the program has, read from the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.cli.main import program

_PROGRAM: Any = program()


def _walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _walk(command, (*path, name))
        else:
            command.params = [one for one in command.params if not getattr(one, "hidden", False)]
            yield " ".join((*path, name)), command


_TREE = dict(_walk(_PROGRAM, ()))
COMMANDS = sorted(_TREE)


def options_of(name: str) -> list[str]:
    """All spellings of all options of a command, `--help` included."""
    command = _TREE[name]
    context = command.context_class(command, info_name=name)
    return [spelling for param in command.get_params(context) for spelling in param.opts if spelling.startswith("-")]


def exit_codes_of(name: str) -> list[int]:
    """The codes in the last section of a command's help."""
    return [int(line.split()[0]) for line in _TREE[name].epilog.splitlines()[1:]]


def parse(arguments: list[str]) -> None:
    """Understand a command line without running it. Raises what a wrong one raises."""
    names = arguments[: next(i for i in range(1, 4) if " ".join(arguments[:i]) in _TREE)]
    command = _TREE[" ".join(names)]
    command.make_context(" ".join(names), arguments[len(names) :])
