"""docs/threat-model.md: each "never" is shown by tests, and each of those fails when a guard is taken away."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from mutations.table import GUARDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/threat-model.md").read_text()
_ROW = re.compile(r"^\| ([A-Z][0-9]+) \| (.+?) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")
ATTACKERS = ["S", "O", "G", "W", "R", "L", "C", "N", "I"]


class Row(NamedTuple):
    id: str
    never: str
    tests: list[str]


ROWS = [Row(found[1], found[2], _TEST.findall(found[3])) for found in _ROW.finditer(PAGE)]


def test_rows_are_numbered_one_by_one() -> None:
    counted = Counter(row.id[0] for row in ROWS)
    assert list(counted) == ATTACKERS
    assert [row.id for row in ROWS] == [f"{who}{number}" for who in ATTACKERS for number in range(1, counted[who] + 1)]
    assert len(ROWS) == sum(line.startswith("| ") and not line.startswith("| |") for line in PAGE.splitlines())


@pytest.mark.parametrize("who", ATTACKERS)
def test_each_attacker_has_what_he_always_can_and_what_limits_it(who: str) -> None:
    section = PAGE[PAGE.index(f"\n## {who}: ") :].split("\n## ")[1]
    assert section.count("**Always can:**") == section.count("**What limits it:**") == 1


def test_each_row_has_tests_and_each_test_a_guard() -> None:
    shown = {(row.id, test) for row in ROWS for test in row.tests}
    assert {row.id for row in ROWS} == {row for row, _ in shown}
    guarded = {(guard.row, guard.test) for guard in GUARDS}
    assert shown - guarded == set(), "named, and no mutation shows that it can fail"
    assert guarded - shown == set(), "the page does not name it"


def test_each_guard_is_in_the_code_once() -> None:
    for guard in GUARDS:
        for edit in guard.edits:
            text = (ROOT / "src/holdfast" / edit.file).read_text()
            assert text.count(edit.old) == 1, (guard.row, guard.name, edit.old)
            assert edit.new != edit.old
    names = Counter((guard.row, guard.name, guard.test) for guard in GUARDS)
    assert max(names.values()) == 1


def test_each_named_test_is_collected() -> None:
    named = sorted({test for row in ROWS for test in row.tests})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    collected = {line.split("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert collected == set(named)


def test_other_pages_lead_here() -> None:
    assert "(docs/threat-model.md)" in (ROOT / "README.md").read_text()
    assert "(docs/threat-model.md)" in (ROOT / "SECURITY.md").read_text()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
