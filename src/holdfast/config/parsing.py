"""From the bytes of `holdfast.yaml` to what it declares, or to everything that is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple

from holdfast.config.checking.detecting import check_detecting, look_at_detecting
from holdfast.config.checking.links import check_links
from holdfast.config.checking.machines import check_machines
from holdfast.config.checking.names import check_names
from holdfast.config.checking.people import check_people, look_at_people
from holdfast.config.checking.placements import check_placements, look_at_domains
from holdfast.config.checking.promises import check_promises
from holdfast.config.checking.recoveries import check_recoveries
from holdfast.config.checking.serving import check_serving
from holdfast.config.checking.stores import check_stores
from holdfast.config.checking.subject import Check, Subject
from holdfast.config.checking.webhooks import check_webhooks
from holdfast.config.checking.witnesses import check_witnesses
from holdfast.config.model import Config
from holdfast.config.reading import PROBLEMS_MAX, Path, Problem, read_config
from holdfast.errors import UsageError
from holdfast.strict_yaml import StrictYaml

__all__ = ["Checked", "Parsed", "check_config", "parse_config", "HINT"]

HINT: Final = "docs/config.md says what there is"
_CHECKS: Final[tuple[Check, ...]] = (
    check_names,
    check_stores,
    check_links,
    check_placements,
    check_promises,
    check_recoveries,
    check_machines,
    check_witnesses,
    check_detecting,
    check_webhooks,
    check_serving,
    check_people,
)
_LOOKS: Final[tuple[Check, ...]] = (look_at_domains, look_at_people, look_at_detecting)
_LINE: Final = re.compile(r", line ([0-9]+): (.*)", re.DOTALL)
_BARE: Final = re.compile(r"[:,\[]\s*(\$\{[A-Za-z_][A-Za-z0-9_]*\})")


class Checked(NamedTuple):
    """`config`: whole only without problems; None where not even its form is understood.

    `findings`: what is no mistake, and somebody should look at.
    """

    config: Config | None
    problems: list[Problem]
    findings: list[Problem]
    lines: Mapping[Path, int]


class Parsed(NamedTuple):
    """A file without problems, and the lines on which everything stands."""

    config: Config
    lines: Mapping[Path, int]


def check_config(data: bytes, name: str) -> Checked:
    """Everything that is wrong with the file called `name`, in the order of its lines. Raises nothing."""
    file = StrictYaml(name, HINT)
    try:
        text = file.decode(data)
        top = file.compose(text)
    except UsageError as error:
        return Checked(None, [_unread(error, name, data)], [], {})
    read = read_config(top)
    subject = Subject(read.config, read.lines, frozenset(problem.path for problem in read.problems))
    problems = [*read.problems, *_told(subject, _CHECKS)]
    findings = [] if problems else _told(subject, _LOOKS)
    return Checked(read.config, _in_order(problems), _in_order(findings), read.lines)


def parse_config(data: bytes, name: str) -> Parsed:
    """What the file called `name` declares. Raises UsageError for its first problem, naming the line."""
    checked = check_config(data, name)
    if checked.problems:
        first, *others = checked.problems
        more = f"; `holdfast config check` lists {len(others)} more" if others else ""
        raise UsageError(f"{name}, line {first.line}: {first.message}", hint=f"{HINT}{more}", object_name=name)
    assert checked.config is not None, "a file without problems was understood"
    return Parsed(checked.config, checked.lines)


def _told(subject: Subject, checks: Iterable[Check]) -> list[Problem]:
    said = (one for check in checks for one in check(subject))
    return [subject.problem(one) for one in islice(said, PROBLEMS_MAX)]


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    once = {(one.line, one.message): one for one in problems}
    return sorted(once.values(), key=lambda one: one.line)


def _unread(error: UsageError, name: str, data: bytes) -> Problem:
    """What kept YAML from being read."""
    match = _LINE.fullmatch(error.message.removeprefix(name))
    if match is None:
        return Problem(1, f"it {error.message.removeprefix(name).strip()}")  # it is empty, it has more than …
    line, message = int(match[1]), match[2]
    lines = data.decode(errors="replace").splitlines()
    bare = _BARE.search(lines[line - 1]) if line <= len(lines) else None
    if bare is not None and message.startswith("no YAML"):
        message = f'inside {{ }} and [ ] a reference stands in quotes: "{bare[1]}"'
    return Problem(line, message)
