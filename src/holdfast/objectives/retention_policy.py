"""Reading a retention policy from YAML: what is not understood is an error, and says in which line.

A small part of YAML is enough: mappings, lists, text and whole numbers. Anchors, aliases and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from holdfast.errors import UsageError
from holdfast.objectives.retention_rules import ALL, BUCKETS, Amount, Keep, Policy, Rule
from holdfast.strict_yaml import StrictYaml
from holdfast.units import parse_duration

__all__ = ["parse_policy", "POLICY_BYTES_MAX", "COMPONENTS", "KEPT_TOGETHER"]

POLICY_BYTES_MAX = 1 << 20
_DEPTH_MAX = 20
_NUMBER = re.compile(r"[0-9]{1,9}")
COMPONENTS = ("weights", "optimizer", "rng", "dataloader")
KEPT_TOGETHER = "other"  # folders, links and small files: without them the rest cannot be restored

T = TypeVar("T")


def parse_policy(text: str, name: str = "the policy") -> Policy:
    """The policy that `text` states. `name` stands in messages. Raises UsageError naming the line."""
    return _Parser(name).policy(text)


class _Parser:
    def __init__(self, name: str) -> None:
        self._file = StrictYaml(name, "docs/retention.md says what there is")

    def policy(self, text: str) -> Policy:
        top = self._compose(text)
        fields = self._fields(top, ("version", "rules", "recent"), "policy")
        if "version" not in fields:
            self._fail(top, "the policy does not say `version: 1`")
        if self._text(fields["version"]) != "1":
            self._fail(fields["version"], f"version {self._text(fields['version'])} is not known: only 1 is")
        if "rules" not in fields:
            self._fail(top, "the policy has no `rules`")
        rules = [self._rule(node) for node in self._items(fields["rules"])]
        if not rules:
            self._fail(fields["rules"], "there is no rule in `rules`")
        recent = self._duration(fields["recent"]) if "recent" in fields else "1h"
        return Policy(version=1, rules=rules, recent=recent)

    def _compose(self, text: str) -> Node:
        if len(text) > POLICY_BYTES_MAX:
            raise UsageError(f"{self._file.name} has more than {POLICY_BYTES_MAX >> 20} MiB: it is no policy")
        return self._file.compose(text, _DEPTH_MAX)

    def _rule(self, node: Node) -> Rule:
        fields = self._fields(node, ("assets", "keep", "tags", "components"), "rule")
        if "assets" not in fields:
            self._fail(node, "a rule needs `assets`: a name with * and ?, or a list of them")
        keep = self._keep(fields["keep"]) if "keep" in fields else Keep()
        components = dict(self._components(fields["components"])) if "components" in fields else {}
        if keep.is_empty and not components:
            self._fail(node, "this rule would keep nothing: give it `keep`")
        tags = self._tags(fields["tags"]) if "tags" in fields else "protect"
        return Rule(assets=self._names(fields["assets"]), keep=keep, tags=tags, components=components)

    def _keep(self, node: Node) -> Keep:
        fields = self._fields(node, Keep.__struct_fields__, "keep")
        values: dict[str, Any] = {name: self._amount(fields[name]) for name in ("last", *BUCKETS) if name in fields}
        if "within" in fields:
            values["within"] = self._duration(fields["within"])
        keep = Keep(**values)
        if keep.is_empty:
            self._fail(node, "this would keep nothing")
        return keep

    def _components(self, node: Node) -> Iterator[tuple[str, Keep]]:
        for name, (key, value) in self._pairs(node).items():
            if name == KEPT_TOGETHER:
                self._fail(key, "`other` holds folders and links, and goes only with its snapshot")
            if name not in COMPONENTS:
                self._fail_unknown(key, "a snapshot has no component", name, COMPONENTS)
            yield name, self._keep(value)

    def _tags(self, node: Node) -> Literal["protect", "ignore"] | list[str]:
        if isinstance(node, SequenceNode):
            return self._names(node)
        text = self._text(node)
        if text == "protect":
            return "protect"
        if text == "ignore":
            return "ignore"
        return self._fail(node, "`tags` is protect, ignore, or a list of names with * and ?")

    def _names(self, node: Node) -> list[str]:
        nodes = self._items(node) if isinstance(node, SequenceNode) else [node]
        names = [self._text(one) for one in nodes]
        if not names or not all(names):
            self._fail(node, "a name is missing here")
        return names

    def _amount(self, node: Node) -> Amount:
        text = self._text(node)
        if text == ALL:
            return "all"
        if not _NUMBER.fullmatch(text) or int(text) == 0:
            self._fail(node, f"{text!r} is not a number from 1 on, or `all`")
        return int(text)

    def _duration(self, node: Node) -> str:
        text = self._text(node)
        return self._told(node, lambda: (parse_duration(text), text)[1])

    def _fields(self, node: Node, known: tuple[str, ...], what: str) -> dict[str, Node]:
        pairs = self._pairs(node)
        for name, (key, _) in pairs.items():
            if name not in known:
                self._fail_unknown(key, f"a {what} has no", name, known)
        return {name: value for name, (_, value) in pairs.items()}

    def _pairs(self, node: Node) -> Mapping[str, tuple[Node, Node]]:
        if not isinstance(node, MappingNode):
            self._fail(node, "a mapping is expected here: `name: value`")
        pairs: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            name = self._text(key)
            if name in pairs:
                self._fail(key, f"`{name}` is given twice")
            pairs[name] = (key, value)
        return pairs

    def _items(self, node: Node) -> list[Node]:
        if not isinstance(node, SequenceNode):
            self._fail(node, "a list is expected here")
        return list(node.value)

    def _text(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            self._fail(node, "text or a number is expected here")
        return str(node.value)

    def _fail_unknown(self, key: Node, what: str, name: str, known: tuple[str, ...]) -> NoReturn:
        close = get_close_matches(name, known, 1)
        meant = f"; did you mean `{close[0]}`?" if close else f": it can have {', '.join(known)}"
        self._fail(key, f"{what} `{name}`{meant}")

    def _told(self, node: Node, work: Callable[[], T]) -> T:
        try:
            return work()
        except UsageError as error:
            self._fail(node, error.message)

    def _fail(self, node: Any, message: str) -> NoReturn:
        self._file.fail(node, message)
