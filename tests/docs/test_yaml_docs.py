"""Every `holdfast.yaml` and every policy that a page shows is right, as the program judges it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from holdfast.authority.settings import parse_settings
from holdfast.config.model import Config
from holdfast.config.parsing import check_config
from holdfast.config.shapes import fields_of
from holdfast.economics.own_prices import parse_own_prices
from holdfast.objectives.retention_policy import parse_policy
from holdfast.recovery.runbooks.model import parse_runbook

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "design").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```ya?ml\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    )
]


def test_the_pages_show_some() -> None:
    assert len(BLOCKS) >= 5


_SITES = """\
version: 1
organisation: acme
sites:
  use1: {cloud: aws, region: us-east-1, jurisdiction: US, stores: {warm: {url: s3://acme-use1, lock: 30d}}}
  euw4: {cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {warm: {url: gs://acme-euw4, lock: 30d}}}
"""


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_page_shows_in_yaml_is_accepted(block: str) -> None:
    names = yaml.safe_load(block).keys()
    if "sites" in names:
        assert check_config(block.encode(), "the page").problems == []
    elif "rules" in names:
        parse_policy(block, "the page")
    elif "issuers" in names:
        parse_settings(block.encode(), "the page")
    elif "as_of" in names:
        parse_own_prices(block.encode(), "the page")
    elif "steps" in names:
        parse_runbook(block.encode(), "the page")
    elif names <= set(fields_of(Config)):  # a part of a `holdfast.yaml`, without its sites
        assert check_config((_SITES + block).encode(), "the page").problems == []
    else:
        pytest.fail(f"nothing here knows what this file is: {', '.join(names)}")
