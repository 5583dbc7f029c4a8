"""docs/cli.md, docs/errors.md and docs/schemas say what the program does, all of it, and nothing else."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

import holdfast.errors
from holdfast.cli.schemas import OUTPUTS, schema_files
from holdfast.errors import HoldfastError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))

from command_tree import COMMANDS, exit_codes_of, options_of, parse  # noqa: E402 - the path is set just above

_PAGE = (ROOT / "docs/cli.md").read_text()
_SECTIONS = dict(re.findall(r"^## `holdfast ([a-z -]+)`\n(.*?)(?=^## |\Z)", _PAGE, re.MULTILINE | re.DOTALL))


def _documented_options(section: str) -> set[str]:
    rows = re.findall(r"^\| (`-[^|]*) \|", section, re.MULTILINE)
    return {spelling for row in rows for spelling in re.findall(r"`(--?[a-z-]+)", row)}


def test_every_command_has_its_section_and_no_other_is_there() -> None:
    assert sorted(_SECTIONS) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_none_besides(name: str) -> None:
    assert _documented_options(_SECTIONS[name]) == set(options_of(name)) - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_exit_codes_are_those_of_the_help_page(name: str) -> None:
    [sentence] = re.findall(r"^Exit codes: (.*?)\. Schema", _SECTIONS[name], re.MULTILINE | re.DOTALL)
    assert [int(code) for code in re.findall(r"\d+", re.sub(r"\([^)]*\)", "", sentence))] == exit_codes_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_section_has_an_example_of_its_command(name: str) -> None:
    assert f"\n$ holdfast {name} " in _SECTIONS[name] or f"\n$ holdfast {name}\n" in _SECTIONS[name]


@pytest.mark.parametrize("line", re.findall(r"^\$ holdfast (.*)$", _PAGE, re.MULTILINE))
def test_examples_are_understood(line: str) -> None:
    parse(shlex.split(line))


def test_an_example_that_is_wrong_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["key", "list", "--nonsense"])


def test_every_schema_is_linked_and_every_link_is_a_schema() -> None:
    linked = set(re.findall(r"\(schemas/([a-z-]+)\.json\)", _PAGE))
    assert linked == set(OUTPUTS)


def test_schema_files_are_in_step() -> None:
    folder = ROOT / "docs/schemas"
    found = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert found == schema_files(), "run: python -m holdfast.cli.schemas docs/schemas"


def _errors() -> dict[str, type[HoldfastError]]:
    classes = [getattr(holdfast.errors, name) for name in holdfast.errors.__all__]
    return {error.code: error for error in classes if error is not HoldfastError}


def _error_rows() -> dict[str, tuple[int, bool]]:
    text = (ROOT / "docs/errors.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (yes|no) \|", text, re.MULTILINE)
    return {code: (int(exit_code), retry == "yes") for code, exit_code, retry in rows}


def test_every_error_code_is_explained_and_none_besides() -> None:
    expected = {code: (error.exit_code, error.retry) for code, error in _errors().items()}
    expected |= {"interrupted": (130, True), "unexpected": (1, False)}
    assert _error_rows() == expected


def test_the_table_of_exit_codes_knows_all_that_errors_carry() -> None:
    table = _PAGE[_PAGE.index("## Exit codes") : _PAGE.index("A failure is told")]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert codes == {error.exit_code for error in _errors().values()} | {0, 130, 141}
