"""From the nodes of `holdfast.yaml` to the model: every problem of the file is found, each with its line.

What cannot be understood is left out, so that the rest can still be checked. Whoever uses the result without looking at
the problems first uses a part of what was declared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec.inspect as mi
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from holdfast.config.model import Config
from holdfast.config.shapes import fields_of, top_type, word_of
from holdfast.config.values import is_reference, nearest, shown
from holdfast.config.words import Reference
from holdfast.errors import UsageError
from holdfast.objectives.retention_rules import Keep
from holdfast.strict_yaml import line_of

__all__ = ["PROBLEMS_MAX", "Path", "Problem", "Read", "read_config"]

Path = tuple[str | int, ...]  # names and places in lists, from the top: ("assets", "llama", "place", "synchronous", 0)

PROBLEMS_MAX: Final = 200
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
# What YAML 1.2 takes for something else than text (its core schema): other programs read the file, too.
_NO_TEXT: Final = re.compile(
    r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_RENAMED: Final = {
    "BACKUP_RESTORE": "BACKUP_AND_RESTORE",
    "ACTIVE_ACTIVE": "HOT_STANDBY",
    "CROSS_CLOUD": "CLOUD_BURST",
}  # words of earlier versions
_MISSING: Final = object()


class Problem(NamedTuple):
    """What is wrong, and where. Sorted as it stands in the file."""

    line: int
    message: str
    path: Path = ()


class Read(NamedTuple):
    """`config`: what could be understood. `lines`: where each name and each place in a list stands."""

    config: Config
    problems: list[Problem]
    lines: Mapping[Path, int]


def read_config(top: Node) -> Read:
    """What a file says. Of very many problems only the first are told; nothing is raised."""
    reader = _Reader()
    kind = top_type()
    assert isinstance(kind, mi.StructType)
    try:
        fields = reader.fields(top, kind, ())
    except _TooManyError:
        fields = {}
    needed: dict[str, Any] = {"version": 1, "organisation": "unknown", "sites": {}}
    return Read(Config(**needed | fields), reader.problems, reader.lines)


class _TooManyError(Exception):
    """More problems than anybody reads."""


class _Reader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}

    def value(self, node: Node, kind: mi.Type, path: Path) -> Any:
        """What the node says, as that type; `_MISSING` where it cannot be understood."""
        if isinstance(node, ScalarNode) and node.style is None and node.value in ("", "~", "null"):
            return self._problem(node, "this has no value: give it one, or leave the name out", path)
        if word_of(kind) is not None:
            return self._word(node, kind, path)
        if isinstance(kind, mi.Metadata):
            return self.value(node, kind.type, path)
        if isinstance(kind, mi.UnionType):
            return self._union(node, [one for one in kind.types if not isinstance(one, mi.NoneType)], path)
        if isinstance(kind, mi.StructType):
            return self._struct(node, kind, path)
        if isinstance(kind, mi.DictType):
            return self._dict(node, kind, path)
        if isinstance(kind, mi.VarTupleType):
            return self._list(node, kind, path)
        return self._plain(node, kind, path)

    def fields(self, node: Node, kind: mi.StructType, path: Path) -> dict[str, Any]:
        """The names of a mapping that could be understood, as the struct calls them."""
        known = fields_of(kind.cls)
        found: dict[str, Any] = {}
        pairs = self._pairs(node, path)
        for name, (key, value) in pairs.items():
            field = known.get(name)
            if field is None:
                near = nearest(name, known) or f": it can have {', '.join(known)}"
                self._problem(key, f"{_called(path)} has no `{name[:60]}`{near}", (*path, name))
                continue
            read = self.value(value, field.type, (*path, name))
            if read is not _MISSING:
                found[field.attribute] = read
        lacking = [f"`{name}`" for name, field in known.items() if field.required and name not in pairs]
        if lacking and isinstance(node, MappingNode):
            self._problem(node, f"{_called(path)} needs {' and '.join(lacking)}", path)
        return found

    def _struct(self, node: Node, kind: mi.StructType, path: Path) -> Any:
        found = self.fields(node, kind, path)
        if any(field.required and field.attribute not in found for field in fields_of(kind.cls).values()):
            return _MISSING  # it was said why
        made = kind.cls(**found)
        if isinstance(made, Keep) and made.is_empty and not getattr(made, "components", None):
            return self._problem(node, "this would keep nothing", path)
        return made

    def _dict(self, node: Node, kind: mi.DictType, path: Path) -> Any:
        found = {}
        for name, (key, value) in self._pairs(node, path).items():
            called = self.value(_quoted(key), kind.key_type, (*path, name))
            place = (*path, name if called is _MISSING else str(called))
            self.lines[place] = line_of(key)
            read = self.value(value, kind.value_type, place)
            if called in found:
                self._problem(key, f"`{name[:60]}` stands here twice, composed in two ways", path)
            elif read is not _MISSING and called is not _MISSING:
                found[called] = read
        return found

    def _pairs(self, node: Node, path: Path) -> dict[str, tuple[Node, Node]]:
        if not isinstance(node, MappingNode):
            self._problem(node, f"{_called(path)} has to be a mapping, `name: value`", path)
            return {}
        pairs: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._problem(key, "a name was expected here", path)
            elif key.value in pairs:
                self._problem(key, f"`{key.value[:60]}` stands here twice", path)
            else:
                pairs[key.value] = (key, value)
                self.lines[(*path, key.value)] = line_of(key)
        return pairs

    def _list(self, node: Node, kind: mi.VarTupleType, path: Path) -> Any:
        # One thing need not be written as a list of one.
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        found = []
        for place, one in enumerate(nodes):
            self.lines[(*path, place)] = line_of(one)
            read = self.value(one, kind.item_type, (*path, place))
            if read is not _MISSING:
                found.append(read)
        return tuple(found)

    def _union(self, node: Node, kinds: list[mi.Type], path: Path) -> Any:
        if len(kinds) == 1:
            return self.value(node, kinds[0], path)
        referring = next((one for one in kinds if isinstance(one, mi.StructType) and one.cls is Reference), None)
        if referring is not None:
            refers = isinstance(node, ScalarNode) and (is_reference(node.value) or node.value.startswith("${"))
            return self.value(node, referring if refers else next(one for one in kinds if one is not referring), path)
        literals = [one for kind in kinds if isinstance(kind, mi.LiteralType) for one in kind.values]
        if isinstance(node, ScalarNode) and node.value in literals:
            return node.value
        other = next(kind for kind in kinds if not isinstance(kind, mi.LiteralType))
        return self.value(node, other, path)

    def _word(self, node: Node, kind: mi.Type, path: Path) -> Any:
        word = word_of(kind)
        assert word is not None
        if not isinstance(node, ScalarNode):
            return self._problem(node, f"{_called(path)} has to be {word.says}", path)
        if node.style is None and word.numbers is None and _NO_TEXT.fullmatch(node.value):
            return self._problem(node, "a number is no text, and neither is yes or no: put it in quotes", path)
        if "${" in node.value and not isinstance(kind, mi.StructType):
            return self._problem(node, f"{_called(path)} is written here: ${{…}} stands only for secrets", path)
        try:
            return word.read(node.value)
        except UsageError as error:
            return self._problem(node, error.message, path)

    def _plain(self, node: Node, kind: mi.Type, path: Path) -> Any:
        text = node.value if isinstance(node, ScalarNode) else None
        if isinstance(kind, mi.EnumType | mi.LiteralType):
            values = [one.value for one in kind.cls] if isinstance(kind, mi.EnumType) else list(kind.values)
            for value in values:
                if str(value) == text:
                    return kind.cls(value) if isinstance(kind, mi.EnumType) else value
            now = _RENAMED.get(text or "")
            near = f" any more: it is `{now}` now" if now in values else nearest(text or "", values)
            near = near or f": it is {_one_of(values)}"
            return self._problem(node, f"{shown(text or '…')} is no {_called(path)}{near}", path)
        if isinstance(kind, mi.BoolType):
            if text in ("true", "false"):
                return text == "true"
            return self._problem(node, f"{_called(path)} has to be true or false", path)
        assert isinstance(kind, mi.IntType)
        least, most = kind.ge or 0, kind.le if kind.le is not None else 10**9
        plain = isinstance(node, ScalarNode) and node.style is None and _NUMBER.fullmatch(node.value)
        if not plain or not least <= int(node.value) <= most:
            limit = f"from {least} to {most}" if kind.le is not None else f"from {least} on"
            return self._problem(node, f"{_called(path)} has to be a whole number {limit}", path)
        return int(node.value)

    def _problem(self, node: Node, message: str, path: Path) -> Any:
        self.problems.append(Problem(line_of(node), message, path))
        if len(self.problems) >= PROBLEMS_MAX:
            raise _TooManyError
        return _MISSING


def _called(path: Path) -> str:
    """The thing at that place of the file, in words."""
    name = next((str(one) for one in reversed(path) if isinstance(one, str)), "")
    return f"`{name[:60]}`" if name else "the file"


def _one_of(values: list[Any]) -> str:
    *most, last = [str(one) for one in values]
    return f"{', '.join(most)} or {last}" if most else last


def _quoted(key: Node) -> Node:
    """A name is text, whatever it looks like."""
    assert isinstance(key, ScalarNode)
    return ScalarNode(key.tag, key.value, key.start_mark, key.end_mark, "'")
