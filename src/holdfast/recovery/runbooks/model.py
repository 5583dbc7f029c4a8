"""What a runbook says, and how its steps are called."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec

from holdfast.errors import UsageError
from holdfast.recovery.plans import Kind
from holdfast.strict_yaml import parse_strictly
from holdfast.units import parse_duration

__all__ = ["Runbook", "RunbookStep", "parse_runbook"]

_HINT: Final = "docs/recovery.md has the form of a runbook"
_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_REFERENCE: Final = r"^$|^\$\{[A-Za-z_][A-Za-z0-9_]*\}$|^file:(?!//)[^\x00-\x1f\x7f]+$"
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_PLACES: Final = ("asset", "site", "home", "run")

Name = Annotated[str, msgspec.Meta(pattern=_NAME)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
RunbookKind = Literal["shell", "python", "ansible", "http-check", "webhook", "human"]
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "shell": ("command",),
    "python": ("call",),
    "ansible": ("playbook",),
    "http-check": ("url",),
    "webhook": ("url", "secret"),
    "human": (),
}
_MAY: Final[dict[str, tuple[str, ...]]] = {"ansible": ("inventory",), "webhook": ("body",)}


class RunbookStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `after`, `before`: other steps of the runbook, or kinds of the planner's steps (`restore`, `promote`).

    `command`: the program and its arguments (no shell in between: write `["sh", "-c", "…"]` where one is wanted).
    `call`: `package.module:function`. `check`: a command without side effects that says whether the step could be done
    now (exit code 0), `done` whether it is in effect. `undo`: the command that takes it back; where nothing can be, or
    need be, `no_undo` says why. `inventory` of a playbook: a file, or hosts as in `db1,db2,`; by default this machine.
    `rehearse`: whether it acts in a rehearsal in isolation, too: for what touches nothing outside it.

    `secret` of a webhook: what it is signed with, as a reference (`${NAME}`, `file:PATH`). Texts may hold {asset},
    {site}, {home} and {run}; files count from the folder of holdfast.yaml.
    """

    id: Name
    kind: RunbookKind
    title: Text
    after: tuple[Name, ...] = ()
    before: tuple[Name, ...] = ()
    command: tuple[Text, ...] = ()
    call: Annotated[str, msgspec.Meta(pattern=r"^$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=200)] = ""
    playbook: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    inventory: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    url: Annotated[str, msgspec.Meta(pattern=r"^$|^https?://[^\s@]+$", max_length=1000)] = ""
    expect: Annotated[int, msgspec.Meta(ge=100, le=599)] = 200
    body: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    secret: Annotated[str, msgspec.Meta(pattern=_REFERENCE, max_length=1000)] = ""
    check: tuple[Text, ...] = ()
    done: tuple[Text, ...] = ()
    undo: tuple[Text, ...] = ()
    no_undo: Annotated[str, msgspec.Meta(max_length=300)] = ""
    timeout: str = "5m"
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1
    rehearse: bool = False

    @property
    def seconds(self) -> float:
        """The time limit. Raises UsageError."""
        return parse_duration(self.timeout)

    @property
    def plan_kind(self) -> Kind:
        """As a plan calls it."""
        return Kind(self.kind)


class Runbook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of `version` 1."""

    version: Literal[1]
    steps: Annotated[tuple[RunbookStep, ...], msgspec.Meta(min_length=1, max_length=200)]


def parse_runbook(data: bytes, name: str) -> Runbook:
    """The runbook in a file called `name`. Raises UsageError that names the line, or the step."""
    runbook = parse_strictly(data, Runbook, name, _HINT)
    seen: set[str] = set()
    for step in runbook.steps:
        if step.id in seen:
            raise UsageError(f"{name}: two steps are called `{step.id}`", hint=_HINT)
        seen.add(step.id)
        _check_step(step, name)
    return runbook


def _check_step(step: RunbookStep, name: str) -> None:
    where = f"{name}: step `{step.id}`"
    for field in _NEEDS[step.kind]:
        if not getattr(step, field):
            raise UsageError(f"{where}: a step of the kind {step.kind} needs `{field}`", hint=_HINT)
    allowed = (*_NEEDS[step.kind], *_MAY.get(step.kind, ()))
    for kind, fields in (*_NEEDS.items(), *_MAY.items()):
        for field in fields:
            if getattr(step, field) and field not in allowed:
                raise UsageError(f"{where}: `{field}` is of the kind {kind}, and this is {step.kind}", hint=_HINT)
    if step.rehearse and step.kind not in ("shell", "python", "ansible"):
        raise UsageError(f"{where}: `rehearse` is of the kinds shell, python and ansible", hint=_HINT)
    if bool(step.undo) == bool(step.no_undo):
        raise UsageError(f"{where}: it says how it is undone (`undo`), or why it is not (`no_undo`)", hint=_HINT)
    try:
        limit = step.seconds
    except UsageError as error:
        raise UsageError(f"{where}: `timeout`: {error}", hint=_HINT) from error
    if not limit > 0:
        raise UsageError(f"{where}: `timeout` is more than no time", hint=_HINT)
    texts = (step.title, step.body, step.url, step.playbook, step.inventory)
    for text in (*texts, *step.command, *step.check, *step.done, *step.undo):
        for place in _PLACE.findall(text.replace("${", "(")):
            if place.isidentifier() and place not in _PLACES:
                known = ", ".join(f"{{{one}}}" for one in _PLACES)
                raise UsageError(f"{where}: {{{place}}} is not filled in; what is: {known}", hint=_HINT)
