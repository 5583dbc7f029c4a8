"""Records of decisions: who asked for what, and what the answer was. A local file always takes them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from holdfast.authority.deciding import Decision
from holdfast.authority.principals import Principal
from holdfast.authority.resources import Resource
from holdfast.errors import FailedError

__all__ = ["DecisionRecord", "DecisionLog", "LocalDecisions", "decision_record", "denial_record", "ROTATE_BYTES"]

ROTATE_BYTES: Final = 8 << 20
_TEXT_MAX: Final = 1_000


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. No secret is in it; names of assets are, so whoever publishes it hashes them (`resource`).

    `action` is `authenticate` where nobody could be identified: `principal` is null then, and `reasons` say why.
    `break_glass`: id and reason of the session that it was done under.
    """

    v: int = 1
    at_ns: int
    action: str
    decision: str
    principal: dict[str, str] | None
    roles: list[str]
    resource: dict[str, str] | None
    policies: list[str]
    reasons: list[str]
    errors: list[str]
    break_glass: dict[str, str] | None
    origin: str


class DecisionLog(Protocol):
    """Takes decisions. The audit log is one."""

    def record(self, entry: DecisionRecord, *, required: bool) -> None:
        """Keep it. With `required`, raises HoldfastError unless it is kept; else tells, and lets the work go on."""
        ...


def decision_record(
    principal: Principal, action: str, resource: Resource, decision: Decision, *, at_ns: int, origin: str
) -> DecisionRecord:
    """Of a decision about somebody who was identified."""
    elevation = principal.elevation
    return DecisionRecord(
        at_ns=at_ns,
        action=action,
        decision=decision.word,
        principal=_clean(
            {
                "kind": principal.kind,
                "id": principal.id,
                "name": principal.name,
                "person": principal.person,
                "how": principal.how,
                **dict(principal.attributes),
            }
        ),
        roles=sorted(principal.roles(at_ns)),
        resource=_clean({"kind": resource.kind, "id": resource.id}),
        policies=list(decision.policies),
        reasons=[_shortened(one) for one in decision.reasons],
        errors=[_shortened(one) for one in decision.errors],
        break_glass=None if elevation is None else {"id": elevation.id, "reason": elevation.reason},
        origin=origin,
    )


def denial_record(reason: str, *, at_ns: int, origin: str) -> DecisionRecord:
    """Of somebody who could not be identified."""
    return DecisionRecord(
        at_ns=at_ns,
        action="authenticate",
        decision="deny",
        principal=None,
        roles=[],
        resource=None,
        policies=[],
        reasons=[_shortened(reason)],
        errors=[],
        break_glass=None,
        origin=origin,
    )


def _clean(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _shortened(text) for name, text in texts.items()}


def _shortened(text: str) -> str:
    return text[:_TEXT_MAX].encode(errors="backslashreplace").decode()


class LocalDecisions:
    """`decisions.jsonl`, a line each, mode 600; a full one becomes `decisions.jsonl.1`, in the place of the one before.

    What must be kept is written through to the disk, to `break-glass.jsonl` if it is of such a session, which grows
    and is never replaced. Safe for several threads and processes: a line is one append.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def record(self, entry: DecisionRecord, *, required: bool) -> None:
        """Raises FailedError when it cannot be written, whether required or not: the caller knows whom to tell."""
        line = msgspec.json.encode(entry, order="sorted") + b"\n"
        names = ["decisions.jsonl"] + (["break-glass.jsonl"] if entry.break_glass is not None else [])
        try:
            with self._lock:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in names:
                    _append(self._folder / name, line, durably=required, rotate=name == "decisions.jsonl")
        except OSError as error:
            raise FailedError(
                f"the decision cannot be recorded in {self._folder} ({error.strerror})", object_name=str(self._folder)
            ) from error


def _append(path: Path, line: bytes, *, durably: bool, rotate: bool) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(28, "no space left")
        if durably:
            os.fsync(descriptor)
        full = rotate and os.fstat(descriptor).st_size > ROTATE_BYTES
    finally:
        os.close(descriptor)
    if full:
        _rotate(path)


def _rotate(path: Path) -> None:
    """One at a time: two who find it full must not put the new, short one in the place of the one before."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.lstat().st_size > ROTATE_BYTES:
                path.replace(path.with_name(f"{path.name}.1"))
    finally:
        os.close(folder)
