"""docs/frameworks.md names what there is: modules, extras, examples."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
CALLBACKS = ROOT / "src" / "holdfast" / "training" / "callbacks"


def rows() -> list[tuple[str, str, str]]:
    """Anchor, extra, example."""
    return re.findall(r"\(#(\w+)\) \| `holdfast\[(\w+)\]` \| `examples/(\w+)\.py` \|", PAGE)


def test_each_row_has_a_module_an_extra_and_an_example_that_uses_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert len(rows()) == 6
    for anchor, extra, example in rows():
        assert (CALLBACKS / f"{anchor}.py").exists()
        assert extra in project["optional-dependencies"]
        assert f"holdfast.training.callbacks.{anchor}" in (ROOT / "examples" / f"{example}.py").read_text("utf-8")
        assert re.search(rf"^## {anchor}$", PAGE, re.MULTILINE | re.IGNORECASE)


def test_each_imported_name_is_there() -> None:
    found = re.findall(r"^from holdfast\.training\.callbacks\.(\w+) import (.+)$", PAGE, re.MULTILINE)
    assert len(found) == 6
    for module, names in found:
        source = (CALLBACKS / f"{module}.py").read_text("utf-8")
        for name in names.split(", "):
            assert re.search(rf"^(?:class|def) {name}\b", source, re.MULTILINE), f"{module} has no {name}"


def test_each_example_is_run_by_a_test() -> None:
    tests = [*(ROOT / "tests" / "integration").glob("test_framework_*.py"), *(ROOT / "examples" / "tests").glob("*.py")]
    told = "".join(path.read_text("utf-8") for path in tests)
    for _, _, example in rows():
        assert f'run_story("{example}"' in told
