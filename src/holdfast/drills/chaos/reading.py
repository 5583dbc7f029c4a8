"""From the bytes of a file to an experiment. What is not known is refused, with its place; nothing is guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
import yaml

from holdfast.drills.chaos.model import Activity, Experiment, Http, Process, Provider, Python, Tolerance
from holdfast.errors import UsageError

__all__ = ["BYTES_MAX", "read_experiment"]

BYTES_MAX: Final = 1 << 20
_DEPTH_MAX: Final = 30
_ACTIVITIES_MAX: Final = 1000
_SECONDS_MAX: Final = 86_400.0
_TOP: Final = {
    "version", "title", "description", "tags", "steady-state-hypothesis", "method", "rollbacks", "runtime",
    "contributions", "configuration", "secrets", "controls", "extensions",
}  # fmt: skip
_UNUSED: Final = ("configuration", "secrets", "controls")
_ACTIVITY: Final = {"type", "name", "provider", "tolerance", "pauses", "background"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_VERB: Final = re.compile(r"[A-Z]{1,16}")

T = TypeVar("T")


def read_experiment(data: bytes, name: str) -> Experiment:
    """Raises UsageError: it is none, or has something that is not known here; the message says where."""
    if len(data) > BYTES_MAX:
        raise UsageError(f"{name} is larger than any experiment", object_name=name)
    try:
        return _Reader(name).experiment(_tree(data))
    except UsageError:
        raise
    except (ValueError, RecursionError, yaml.YAMLError, OverflowError, AttributeError, TypeError) as error:
        raise UsageError(f"{name} is no experiment: {_first_line(error)}", object_name=name) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _tree(data: bytes) -> Any:
    """JSON, else YAML without aliases: an alias can make a small file huge."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    text = data.decode()
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
            raise ValueError("aliases, anchors and tags are not read")
    found = yaml.safe_load(text)
    msgspec.json.encode(found)  # dates, sets, NaN as keys and the like are no JSON
    return found


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._activities = 0

    def experiment(self, tree: Any) -> Experiment:
        top = self._mapping(tree, "the file", _TOP)
        for key in _UNUSED:
            if top.get(key):
                raise self._unknown(key, "is not known here: write values out, and hand secrets in by the environment")
        if _depth(tree) > _DEPTH_MAX:
            raise self._unknown("the file", "is nested too deeply")
        steady = self._mapping(top.get("steady-state-hypothesis") or {}, "steady-state-hypothesis", {"title", "probes"})
        probes = self._list(steady.get("probes") or [], "steady-state-hypothesis.probes", self._steady)
        return Experiment(
            title=self._text(top.get("title"), "title"),
            description=self._text(top.get("description") or "", "description", empty=True),
            hypothesis=self._text(steady.get("title") or "", "steady-state-hypothesis.title", empty=True),
            steady=probes,
            method=self._list(top.get("method") or [], "method", self._activity),
            rollbacks=self._list(top.get("rollbacks") or [], "rollbacks", self._action),
            rollback_strategy=self._strategy(top.get("runtime") or {}),
            raw=dict(top),
        )

    def _strategy(self, tree: Any) -> Any:
        runtime = self._mapping(tree, "runtime", {"rollbacks", "hypothesis"})
        if runtime.get("hypothesis"):
            raise self._unknown(
                "runtime.hypothesis", "is not known here: the steady state is looked at before and after"
            )
        rollbacks = self._mapping(runtime.get("rollbacks") or {}, "runtime.rollbacks", {"strategy"})
        said = rollbacks.get("strategy", "default")
        if said not in ("default", "always", "never", "deviated"):
            raise self._unknown("runtime.rollbacks.strategy", "is default, always, never or deviated")
        return said

    def _steady(self, tree: Any, at: str) -> Activity:
        one = self._activity(tree, at)
        if one.kind != "probe" or one.tolerance is None:
            raise self._unknown(at, "is a probe with a tolerance")
        return one

    def _action(self, tree: Any, at: str) -> Activity:
        one = self._activity(tree, at)
        if one.background:
            raise self._unknown(f"{at}.background", "a rollback is waited for")
        return one

    def _activity(self, tree: Any, at: str) -> Activity:
        self._activities += 1
        if self._activities > _ACTIVITIES_MAX:
            raise self._unknown(at, f"is one more than {_ACTIVITIES_MAX} activities")
        found = self._mapping(tree, at, _ACTIVITY)
        kind = found.get("type")
        if kind not in ("probe", "action"):
            raise self._unknown(f"{at}.type", "is probe or action")
        pauses = self._mapping(found.get("pauses") or {}, f"{at}.pauses", {"before", "after"})
        tolerance = None if "tolerance" not in found else self._tolerance(found["tolerance"], f"{at}.tolerance")
        background = found.get("background", False)
        if not isinstance(background, bool):
            raise self._unknown(f"{at}.background", "is true or false")
        return Activity(
            kind=kind,
            name=self._text(found.get("name"), f"{at}.name"),
            provider=self._provider(found.get("provider"), f"{at}.provider"),
            tolerance=tolerance,
            before=self._seconds(pauses.get("before", 0), f"{at}.pauses.before"),
            after=self._seconds(pauses.get("after", 0), f"{at}.pauses.after"),
            background=background,
            raw=dict(found),
        )

    def _provider(self, tree: Any, at: str) -> Provider:
        kind = tree.get("type") if isinstance(tree, Mapping) else None
        if kind == "process":
            return self._process(self._mapping(tree, at, {"type", "path", "arguments", "timeout"}), at)
        if kind == "http":
            words = {"type", "url", "method", "headers", "expected_status", "arguments", "timeout"}
            return self._http(self._mapping(tree, at, words), at)
        if kind == "python":
            found = self._mapping(tree, at, {"type", "module", "func", "arguments", "timeout"})
            module, func = (self._text(found.get(word), f"{at}.{word}") for word in ("module", "func"))
            if not _NAME.fullmatch(module) or not _NAME.fullmatch(func) or "." in func:
                raise self._unknown(at, "names a function of a module")
            arguments = self._mapping(found.get("arguments") or {}, f"{at}.arguments", None)
            return Python(module=module, func=func, arguments=dict(arguments), timeout=self._timeout(found, at, 60.0))
        raise self._unknown(f"{at}.type", "is process, http or python")

    def _process(self, found: Mapping[str, Any], at: str) -> Process:
        given = found.get("arguments") or []
        words: list[str] = []
        if isinstance(given, str):
            words = given.split()
        elif isinstance(given, Mapping):
            for name, value in given.items():
                words += [str(name), *([] if value in (None, "") else [self._word(value, f"{at}.arguments.{name}")])]
        elif isinstance(given, list):
            words = [self._word(value, f"{at}.arguments") for value in given]
        else:
            raise self._unknown(f"{at}.arguments", "are a list, a mapping or words")
        path = self._text(found.get("path"), f"{at}.path")
        return Process(path=path, arguments=tuple(words), timeout=self._timeout(found, at, 60.0))

    def _http(self, found: Mapping[str, Any], at: str) -> Http:
        url = self._text(found.get("url"), f"{at}.url")
        if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
            raise self._unknown(f"{at}.url", "is http:// or https://")
        method = self._text(found.get("method", "GET"), f"{at}.method")
        status = found.get("expected_status")
        if status is not None and (isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599):
            raise self._unknown(f"{at}.expected_status", "is a status of HTTP")
        headers = self._mapping(found.get("headers") or {}, f"{at}.headers", None)
        kept = {name: self._text(value, f"{at}.headers.{name}", empty=True) for name, value in headers.items()}
        if not _VERB.fullmatch(method) or not all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in kept):
            raise self._unknown(at, "has a method or a header that cannot be")
        return Http(
            url=url,
            method=method,
            headers=kept,
            expected_status=status,
            arguments=found.get("arguments"),
            timeout=self._timeout(found, at, 30.0),
        )

    def _tolerance(self, tree: Any, at: str) -> Tolerance:
        if isinstance(tree, list):
            return Tolerance(kind="any of", values=tuple(tree))
        if not isinstance(tree, Mapping):
            return Tolerance(kind="equal", value=tree)
        kind = tree.get("type")
        target = tree.get("target", "")
        if target not in ("", "body", "status", "stdout", "stderr"):
            raise self._unknown(f"{at}.target", "is body, status, stdout or stderr")
        if kind == "range":
            found = self._mapping(tree, at, {"type", "range", "target"})
            bounds = found.get("range")
            if not isinstance(bounds, list) or len(bounds) != 2:
                raise self._unknown(f"{at}.range", "is a list of two numbers")
            lower, upper = (self._number(value, f"{at}.range") for value in bounds)
            return Tolerance(kind="range", lower=lower, upper=upper, target=target)
        if kind == "regex":
            found = self._mapping(tree, at, {"type", "pattern", "target"})
            pattern = self._text(found.get("pattern"), f"{at}.pattern")
            try:
                re.compile(pattern)
            except (re.error, OverflowError) as error:
                raise self._unknown(f"{at}.pattern", f"is no regular expression ({error})") from error
            return Tolerance(kind="regex", pattern=pattern, target=target)
        if kind == "jsonpath":
            found = self._mapping(tree, at, {"type", "path", "expect", "target"})
            path = self._text(found.get("path"), f"{at}.path")
            if not re.fullmatch(r"\$(\.[A-Za-z0-9_-]+|\[[0-9]{1,6}\])*", path):
                raise self._unknown(f"{at}.path", "is a plain path: $.name[0].other")
            return Tolerance(kind="jsonpath", pattern=path, value=found.get("expect"), target=target)
        if kind == "probe":
            return Tolerance(kind="probe", probe=self._activity({k: v for k, v in tree.items() if k != "target"}, at))
        raise self._unknown(f"{at}.type", "is range, regex, jsonpath or probe")

    def _mapping(self, tree: Any, at: str, words: set[str] | None) -> Mapping[str, Any]:
        if not isinstance(tree, Mapping) or not all(isinstance(key, str) for key in tree):
            raise self._unknown(at, "is a mapping of names")
        for key in tree:
            if words is not None and key not in words and not key.startswith("x-"):
                raise self._unknown(f"{at}.{key}" if at != "the file" else key, "is not known here")
        return tree

    def _list(self, tree: Any, at: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
        if not isinstance(tree, list):
            raise self._unknown(at, "is a list")
        return tuple(read(one, f"{at}[{number}]") for number, one in enumerate(tree))

    def _text(self, tree: Any, at: str, *, empty: bool = False) -> str:
        if not isinstance(tree, str) or not (tree or empty) or "\0" in tree:
            raise self._unknown(at, "is text")
        try:
            tree.encode()
        except UnicodeEncodeError as error:
            raise self._unknown(at, "is no valid Unicode") from error
        return tree

    def _word(self, tree: Any, at: str) -> str:
        if isinstance(tree, bool) or not isinstance(tree, str | int | float):
            raise self._unknown(at, "is text or a number")
        return self._text(str(tree), at, empty=True)

    def _number(self, tree: Any, at: str) -> float:
        if isinstance(tree, bool) or not isinstance(tree, int | float) or not math.isfinite(tree):
            raise self._unknown(at, "is a number")
        return float(tree)

    def _seconds(self, tree: Any, at: str) -> float:
        found = self._number(tree, at)
        if not 0 <= found <= _SECONDS_MAX:
            raise self._unknown(at, "is from nothing to a day, in seconds")
        return found

    def _timeout(self, found: Mapping[str, Any], at: str, usual: float) -> float:
        said = found.get("timeout", usual)
        if isinstance(said, list):  # connecting and reading apart: both together here
            said = sum(self._seconds(one, f"{at}.timeout") for one in said)
        seconds = self._seconds(said, f"{at}.timeout")
        if not seconds:
            raise self._unknown(f"{at}.timeout", "is more than nothing")
        return seconds

    def _unknown(self, at: str, what: str) -> UsageError:
        return UsageError(f"{self._name}: {at[:200]}: {what}", object_name=self._name)


def _depth(tree: Any) -> int:
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        if depth > _DEPTH_MAX:
            return depth
        children = one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
        waiting += [(child, depth + 1) for child in children]
    return deepest
