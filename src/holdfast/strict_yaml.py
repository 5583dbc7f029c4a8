"""YAML files of people, read strictly: what is not understood is an error, and names its line.

A small part of YAML is enough: mappings, lists, text, whole numbers, yes and no. Anchors, aliases and tags are refused.
`parse_strictly` reads a file into a type; `StrictYaml` gives the nodes to those who say more about what they miss.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, cast

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from holdfast.errors import UsageError

__all__ = ["StrictYaml", "parse_strictly", "line_of", "YAML_BYTES_MAX"]

YAML_BYTES_MAX: Final = 256 << 10
_DEPTH_MAX = 12
_WORDS: Final = {"true": True, "false": False, "null": None}
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_LONG_NUMBER: Final = re.compile(r"[0-9]{10,15}")
_DECIMAL: Final = re.compile(r"[0-9]{1,15}\.[0-9]{1,30}|[0-9]{1,15}(\.[0-9]{1,30})?[eE][-+]?[0-9]{1,3}")
_STEP: Final = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]|\[\.\.\.\]")

T = TypeVar("T")


class StrictYaml(NamedTuple):
    """A file of that name, as messages call it. `hint`: where its documentation is."""

    name: str
    hint: str = ""

    def decode(self, data: bytes) -> str:
        """Its text. Raises UsageError where it is too large, or not UTF-8."""
        if len(data) > YAML_BYTES_MAX:
            raise UsageError(f"{self.name} has more than {YAML_BYTES_MAX >> 10} KiB, which no settings need")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data.count(10, 0, error.start) + 1
            raise UsageError(f"{self.name}, line {line}: this is not UTF-8", hint=self.hint) from error

    def compose(self, text: str, depth_max: int = _DEPTH_MAX) -> Node:
        """Its one document. Raises UsageError naming the line."""
        loader = None
        try:
            loader = _Loader(text, self, depth_max)
            top = loader.get_single_node()
        except yaml.YAMLError as error:
            raise UsageError(f"{self.name}{_where(error, text)}: no YAML: {_what(error)}", hint=self.hint) from error
        except (ValueError, OverflowError) as error:  # PyYAML on `"\UFFFFFFFF"`, and on a version of 5,000 digits
            line = loader.line + 1 if loader is not None else 1
            raise UsageError(f"{self.name}, line {line}: no YAML: a number is too large", hint=self.hint) from error
        if top is None:
            raise UsageError(f"{self.name} is empty", hint=self.hint)
        return cast(Node, top)

    def fail(self, node: Any, sentence: str) -> NoReturn:
        """Raises UsageError for what is wrong at a node, or an event, of it."""
        raise UsageError(f"{self.name}, line {line_of(node)}: {sentence}", hint=self.hint)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Composes nodes, and stops at the first event that is more than plain."""

    def __init__(self, text: str, file: StrictYaml, depth_max: int) -> None:
        super().__init__(text)
        self._file = file
        self._deeper = depth_max

    def get_event(self) -> Any:
        event = super().get_event()
        self._deeper += isinstance(event, yaml.CollectionEndEvent) - isinstance(event, yaml.CollectionStartEvent)
        if self._deeper < 0:
            self._file.fail(event, "this is nested too deeply")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._file.fail(event, "anchors and aliases are not understood here")
        if getattr(event, "tag", None) is not None:
            self._file.fail(event, "tags are not understood here")
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= one <= "\udfff" for one in event.value):
            self._file.fail(event, "this is no text in Unicode")
        return event


def line_of(node: Any) -> int:
    """Where a node begins, from 1 on."""
    return int(node.start_mark.line) + 1


def parse_strictly(data: bytes, shape: type[T], name: str, hint: str = "", *, decimals: bool = False) -> T:
    """What the file called `name` says, as `shape` (a msgspec type). Raises UsageError naming the line.

    With `decimals`, `0.023` and `4e-7` are numbers as well, and whole ones may have 15 digits: for prices.
    """
    file = StrictYaml(name, hint)
    top = file.compose(file.decode(data))
    plain = _plain(top, file, decimals)
    try:
        return msgspec.convert(plain, shape, strict=True)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at ")
        line = _line_at(top, path, sentence)
        raise UsageError(f"{name}, line {line}: {_plainly(sentence, path)}", hint=hint) from error


def _where(error: yaml.YAMLError, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f", line {mark.line + 1}"
    position = getattr(error, "position", None)  # of a character that YAML does not allow
    return f", line {text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""


def _what(error: yaml.YAMLError) -> str:
    if getattr(error, "problem", None) == "but found another document":
        return "a second document begins here, and one is all that is read"
    return getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"


def _plain(node: Node, file: StrictYaml, decimals: bool) -> Any:
    if isinstance(node, MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                file.fail(key, "a name was expected here")
            if key.value in found:
                file.fail(key, f"`{key.value[:40]}` stands here twice")
            found[key.value] = _plain(value, file, decimals)
        return found
    if isinstance(node, SequenceNode):
        return [_plain(one, file, decimals) for one in node.value]
    if isinstance(node, ScalarNode):
        return _scalar(node, decimals)
    return file.fail(node, "this is not understood")


def _scalar(node: ScalarNode, decimals: bool) -> str | int | float | bool | None:
    text = cast(str, node.value)
    if node.style is not None:  # quoted: text, whatever it looks like
        return text
    if text in _WORDS:
        return _WORDS[text]
    if decimals and _DECIMAL.fullmatch(text):
        return float(text)
    if decimals and _LONG_NUMBER.fullmatch(text):
        return int(text)
    return int(text) if _NUMBER.fullmatch(text) else text


def _line_at(top: Node, path: str, sentence: str) -> int:
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
    return line_of(at)


def _plainly(sentence: str, path: str) -> str:
    where = path.strip("`").removeprefix("$").removeprefix(".")
    said = sentence[:1].lower() + sentence[1:]
    said = said.replace("object contains unknown field", "nothing is called").replace(
        "object missing required field", "this lacks"
    )
    return f"{where}: {said}" if where else said
