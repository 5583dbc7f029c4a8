"""docs/authority.md: its table is what the decision function says, and its examples are good ones."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.authority.actions import GROUPS
from holdfast.authority.policies import default_policies, load_policies
from holdfast.authority.principals import ROLES
from holdfast.authority.schema import schema_text
from holdfast.authority.settings import parse_settings
from holdfast.authority.table import markdown_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/authority.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_each_cell_of_the_table_is_the_decision() -> None:
    table = PAGE[PAGE.index("<!-- table -->\n") + len("<!-- table -->\n") : PAGE.index("<!-- end of table -->")]
    assert table.strip() == markdown_table(default_policies()).strip()


def test_the_schema_is_the_one_that_counts() -> None:
    assert (ROOT / "docs/holdfast.cedarschema").read_text() == schema_text()


def test_the_examples_are_taken() -> None:
    [policies], [settings] = blocks("cedar"), blocks("yaml")
    assert len(load_policies({"example.cedar": policies.encode()}).own) == 3
    assert len(parse_settings(settings.encode()).grants) == 5


def test_roles_and_groups_are_all_there() -> None:
    for role, text in ROLES.items():
        assert f"| {role} | {text} |" in PAGE
    for group in GROUPS:
        assert f"`{group}`" in PAGE
