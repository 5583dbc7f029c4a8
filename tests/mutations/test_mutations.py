"""The program that takes guards away: two of them for real, and that it is not content with just anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from .model import Edit, Guard
from .table import GUARDS
from .trying import Outcome, Tried, copy_tree, try_guards

_EMPTY = Guard(
    "W0",
    "guards nothing",
    "tests/unit/trust/test_signatures.py::test_one_genuine_half_is_not_enough",
    (Edit("trust/signing.py", '"""Returns if both halves of', '"""Returns when both halves of'),),
)


def test_two_guards_and_one_that_guards_nothing(tmp_path: Path) -> None:
    two = [guard for guard in GUARDS if (guard.row, guard.test) == ("O1", _EMPTY.test)]
    assert len(two) == 2
    told: list[Tried] = []
    tree = copy_tree(tmp_path / "tree")
    before = (tree / "src/holdfast/trust/signing.py").read_bytes()
    assert try_guards(tree, [*two, _EMPTY], told.append) == told
    assert [one.killed for one in told] == [True, True, False]
    assert "DID NOT RAISE UntrustedError" in told[0].reason
    assert (tree / "src/holdfast/trust/signing.py").read_bytes() == before


@pytest.mark.parametrize(
    ("status", "output", "failed"),
    [
        (1, "E   AssertionError: assert 1 == 2\n1 failed in 0.1s", True),
        (-6, "", True),
        (1, "E   NameError: name 'x' is not defined\n1 failed in 0.1s", False),
        (1, "E   DamageError: x\n1 error in 0.1s", False),
        (1, "E   KeyError: 1\nThe above exception was the direct cause\nE   ImportError: x\n1 failed in 0.1s", False),
        (0, "1 passed in 0.1s", False),
        (4, "ERROR: not found", False),
    ],
)
def test_what_counts_as_a_failure(status: int, output: str, failed: bool) -> None:
    assert Outcome(status, output).failed is failed


def test_an_edit_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    wrong = _EMPTY._replace(edits=(Edit("trust/signing.py", "this is nowhere", ""),))
    with pytest.raises(SystemExit, match="occurs 0 times"):
        try_guards(copy_tree(tmp_path / "tree"), [wrong], lambda tried: None)
