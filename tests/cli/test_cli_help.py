"""Help pages: every command has one, with exit codes, in 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from command_tree import COMMANDS, exit_codes_of, options_of
from terminal import Terminal

from holdfast.cli.exit_codes import MEANINGS
from holdfast.cli.main import NOUNS, commands_of, program


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_fits_80_columns_and_lists_options_and_exit_codes(terminal: Terminal, name: str) -> None:
    said = terminal.ok(*name.split(), "--help")
    lines = said.out.splitlines()
    assert lines[0].startswith(f"Usage: holdfast {name} ")
    assert [line for line in lines if len(line) > 80] == []
    for option in options_of(name):
        assert re.search(rf"(^|\s){re.escape(option)}(\s|,|$)", said.out, re.MULTILINE), option
    codes = [int(line.split()[0]) for line in lines[lines.index("Exit codes:") + 1 :]]
    assert codes == sorted(set(codes))
    assert codes == exit_codes_of(name)
    assert set(codes) <= set(MEANINGS)
    assert {0, 2} <= set(codes)
    assert "\x1b" not in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json_and_can_be_quiet(name: str) -> None:
    assert {"--json", "--quiet", "-q", "--help"} <= set(options_of(name))


@pytest.mark.parametrize("noun", [[], ["vault"], ["snapshot"], ["key"]])
def test_the_page_of_a_noun_lists_its_verbs_whole(terminal: Terminal, noun: list[str]) -> None:
    said = terminal.ok(*noun, "--help")
    assert [line for line in said.out.splitlines() if len(line) > 80] == []
    assert "..." not in said.out.replace("[ARGS]...", "")
    verbs = {command.split()[len(noun)] for command in COMMANDS if command.split()[: len(noun)] == noun}
    shown = {line.split()[0] for line in said.out.splitlines() if re.match(r"  [a-z]", line)}
    assert verbs <= shown


def test_no_option_takes_a_secret() -> None:
    named = {option for name in COMMANDS for option in options_of(name)}
    assert not [option for option in named if re.search("pass|secret|token|credential", option)]


def test_a_noun_alone_has_the_commands_that_it_has_in_the_whole_program() -> None:
    whole = program()
    assert set(whole.commands) == NOUNS
    for noun in NOUNS:
        assert list(commands_of(noun).commands) == [noun]
        assert _shape(commands_of(noun).commands[noun]) == _shape(whole.commands[noun])
    assert set(commands_of("no-such-noun").commands) == NOUNS


def _shape(command: Any) -> Any:
    """Its options, and those of the commands below it."""
    below = {name: _shape(one) for name, one in getattr(command, "commands", {}).items()}
    return [param.opts for param in command.params], below
