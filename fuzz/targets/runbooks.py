"""Runbooks: files that people write, or copy from somewhere."""

from __future__ import annotations

from fuzz.model import Broken, Target
from holdfast.errors import UsageError
from holdfast.recovery.runbooks.model import parse_runbook

__all__ = ["TARGETS"]

_YAML = b"""version: 1
steps:
  - id: drain
    kind: shell
    title: drain the queue of {asset}
    before: [fence]
    command: [drain, "{asset}", --at, "{home}"]
    check: [drain, --check]
    undo: [fill, "{asset}"]
    timeout: 2m
    attempts: 3
  - id: page
    kind: human
    title: call the owner
    after: [promote, drain]
    no_undo: nothing was changed
  - {id: probe, kind: http-check, title: it answers, url: "https://{site}.example/healthz", no_undo: it reads}
  - {id: book, kind: ansible, title: a book, playbook: a.yaml, inventory: "a,b", no_undo: it reads}
  - {id: call, kind: python, title: a call, call: "a.b:c", no_undo: it reads}
  - {id: hook, kind: webhook, title: a hook, url: "https://a/", body: "{}", secret: "${A}", no_undo: it reads}
"""


def _runbook(data: bytes) -> None:
    try:
        runbook = parse_runbook(data, "runbook.yaml")
    except UsageError as error:
        if not error.message.startswith("runbook.yaml"):
            raise Broken(f"{error.message} names no file") from error
        raise
    for step in runbook.steps:
        if bool(step.undo) == bool(step.no_undo) or not step.seconds > 0:
            raise Broken(f"{step.id} was taken")


TARGETS = [
    Target(
        "runbook",
        "`parse_runbook`",
        _runbook,
        lambda: [_YAML],
        (b"kind: webhook", b"url: http://", b"timeout: 0s", b"{run}", b"{x}", b"${A}", b"- {", b"undo: []", b"9" * 30),
    ),
]
