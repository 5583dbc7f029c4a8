"""YAML files of people, read strictly into a type: what is not understood is an error, and names its line.

A small part of YAML is enough: mappings, lists, text, whole numbers, yes and no. Anchors, aliases and tags are refused.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn, TypeVar, cast

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from holdfast.errors import UsageError

__all__ = ["parse_strictly", "YAML_BYTES_MAX"]

YAML_BYTES_MAX: Final = 256 << 10
_DEPTH_MAX = 12
_WORDS: Final = {"true": True, "false": False, "null": None}
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_STEP: Final = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]|\[\.\.\.\]")

T = TypeVar("T")


def parse_strictly(data: bytes, shape: type[T], name: str) -> T:
    """What the file called `name` says, as `shape` (a msgspec type). Raises UsageError naming the line."""
    if len(data) > YAML_BYTES_MAX:
        raise UsageError(f"{name} has more than {YAML_BYTES_MAX >> 10} KiB, which no settings need")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}, line {data.count(10, 0, error.start) + 1}: this is not UTF-8") from error
    top = _compose(text, name)
    plain = _plain(top, name)
    try:
        return msgspec.convert(plain, shape, strict=True)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at ")
        raise UsageError(f"{name}, line {_line_of(top, path, sentence)}: {_plainly(sentence, path)}") from error


def _compose(text: str, name: str) -> Node:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH_MAX:
                _fail(name, event, "this is nested too deeply")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                _fail(name, event, "anchors and aliases are not understood here")
            if getattr(event, "tag", None) is not None:
                _fail(name, event, "tags are not understood here")
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{name}{where}: no YAML: {getattr(error, 'problem', None) or 'unreadable'}") from error
    if top is None:
        raise UsageError(f"{name} is empty", hint="see docs/authority.md for an example")
    return cast(Node, top)


def _plain(node: Node, name: str) -> Any:
    if isinstance(node, MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                _fail(name, key, "a name was expected here")
            if key.value in found:
                _fail(name, key, f"`{key.value[:40]}` stands here twice")
            found[key.value] = _plain(value, name)
        return found
    if isinstance(node, SequenceNode):
        return [_plain(one, name) for one in node.value]
    if isinstance(node, ScalarNode):
        return _scalar(node)
    return _fail(name, node, "this is not understood")


def _scalar(node: ScalarNode) -> str | int | bool | None:
    text = cast(str, node.value)
    if node.style is not None:  # quoted: text, whatever it looks like
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _NUMBER.fullmatch(text) else text


def _line_of(top: Node, path: str, sentence: str) -> int:
    """The line that msgspec's path (`$.issuers[0].audience`) means, or the nearest above it."""
    at = top
    for name, index in _STEP.findall(path.strip("`").removeprefix("$")):
        if isinstance(at, MappingNode) and name:
            at = next((value for key, value in at.value if key.value == name), at)
        elif isinstance(at, SequenceNode) and index and int(index) < len(at.value):
            at = at.value[int(index)]
    unknown = re.search(r"unknown field `([^`]*)`", sentence)
    if unknown and isinstance(at, MappingNode):
        at = next((key for key, _ in at.value if key.value == unknown[1]), at)
    return int(at.start_mark.line) + 1


def _plainly(sentence: str, path: str) -> str:
    where = path.strip("`").removeprefix("$").removeprefix(".")
    said = sentence[:1].lower() + sentence[1:]
    said = said.replace("object contains unknown field", "nothing is called").replace(
        "object missing required field", "this lacks"
    )
    return f"{where}: {said}" if where else said


def _fail(name: str, node: Any, sentence: str) -> NoReturn:
    raise UsageError(f"{name}, line {node.start_mark.line + 1}: {sentence}")
