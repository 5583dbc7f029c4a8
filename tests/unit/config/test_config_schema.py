"""The JSON Schema is the published one, and says of each file what the reader says of its form."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from config_texts import SMALL, example

from holdfast.config.reading import read_config
from holdfast.config.schema import config_schema, schema_text

PUBLISHED = Path(__file__).parents[3] / "docs" / "holdfast.schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_that_of_the_model() -> None:
    assert PUBLISHED.read_text("utf-8") == schema_text(), "run: holdfast config schema > docs/holdfast.schema.json"


@pytest.mark.parametrize("text", [example(), SMALL])
def test_files_that_are_right_are_valid(validator: Any, text: str) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_every_mapping_is_closed(validator: Any) -> None:
    for name, one in validator.schema["$defs"].items():
        if one.get("type") == "object":
            assert one["additionalProperties"] is False and one["description"], name


JUNK: tuple[Any, ...] = (
    None,
    "",
    "junk junk",
    "${X}",
    -1,
    0,
    1.5,
    True,
    [],
    [[]],
    {},
    {"x": 1},
    "x" * 500,
    "7d",
    "2+1",
    "EU",
)


def variants(document: Any, at: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The document with each value replaced by each piece of junk, with each name left out, with one more name."""
    items = list(at.items()) if isinstance(at, dict) else list(enumerate(at)) if isinstance(at, list) else []
    for key, value in items:
        for junk in JUNK:
            changed = copy.deepcopy(document)
            inner = changed
            for step in path:
                inner = inner[step]
            inner[key] = junk
            yield (*path, key, junk), changed
        if isinstance(at, dict):
            changed = copy.deepcopy(document)
            inner = changed
            for step in path:
                inner = inner[step]
            del inner[key]
            yield (*path, key), changed
            changed = copy.deepcopy(document)
            inner = changed
            for step in path:
                inner = inner[step]
            inner["surplus"] = inner.pop(key)
            yield (*path, key, "surplus"), changed
        yield from variants(document, value, (*path, key))


STRIDE = 5  # of 18 changes for each place others are tried at each: all of them, 2,756, take 8 s, and agree
MARK = yaml.Mark("x", 0, 0, 0, None, None)


def node_of(value: Any) -> yaml.Node:
    """As if it had been read from YAML: much faster."""
    if isinstance(value, dict):
        pairs = [(node_of(name), node_of(inner)) for name, inner in value.items()]
        return yaml.MappingNode("", pairs, MARK, MARK)
    if isinstance(value, list):
        return yaml.SequenceNode("", [node_of(inner) for inner in value], MARK, MARK)
    return yaml.ScalarNode(
        "", *((value, MARK, MARK, '"') if isinstance(value, str) else (json.dumps(value), MARK, MARK))
    )


def test_reader_and_schema_agree_about_the_form_of_changed_files(validator: Any) -> None:
    """In some hundred files. The reader is stricter in one place: it asks whether there is such a time zone."""
    document = yaml.safe_load(example())
    accepted = refused = 0
    for number, (where, changed) in enumerate(variants(document, document, ())):
        if number % STRIDE:
            continue
        problems = read_config(node_of(changed)).problems
        valid = validator.is_valid(changed)
        accepted, refused = accepted + valid, refused + (not valid)
        if valid and problems and "timezone" in where:
            continue
        assert valid is (not problems), (where, problems, [error.message for error in validator.iter_errors(changed)])
    assert accepted > 50 and refused > 400
