"""docs/config.md says what `holdfast.yaml` can say, all of it, and shows a file that is right."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from holdfast.config import model
from holdfast.config.model import Config
from holdfast.config.parsing import check_config
from holdfast.config.shapes import fields_of

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text("utf-8")
EXAMPLE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
_COMMON = {
    "Keep": "retention.md says it",
    "AssetKeep": "retention.md says it",
    "Way": "what follows, not what is written",
}


def test_the_example_has_no_problems() -> None:
    assert check_config(EXAMPLE.encode(), "docs/config.md").problems == []


@pytest.mark.parametrize("name", [name for name in model.__all__ if name not in _COMMON])
def test_every_name_that_a_mapping_can_have_is_on_the_page(name: str) -> None:
    cls = getattr(model, name)
    assert issubclass(cls, msgspec.Struct)
    missing = [field for field in fields_of(cls) if not re.search(rf"`{field}`|\b{field}:\s", PAGE)]
    assert missing == []


def test_the_example_uses_nearly_every_section() -> None:
    assert set(re.findall(r"^([a-z]+):", EXAMPLE, re.MULTILINE)) == set(fields_of(Config)) - {"identity"}


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([a-z./-]+)\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / link).exists(), link
