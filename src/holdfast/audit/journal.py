"""The port through which operations are recorded: one call before or after, one create on the store.

A record that cannot be written is loud (a note that a person sees) and never fails the operation, unless it is
`required`: then the operation must not go on, and gets the error.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from blake3 import blake3

from holdfast.audit.entries import TEXT_MAX, Actor, Entry
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import FailedError, HoldfastError
from holdfast.events import SILENT, Progress
from holdfast.ids import new_snapshot_id

__all__ = ["Journal", "StoreJournal", "SilentJournal", "NameHasher", "Write", "make_entry"]

Write: TypeAlias = Callable[[Entry], object]
_POLICIES_MAX = 16  # of up to 512 characters each, in an entry of 16 KiB


class Journal(Protocol):
    """What may be recorded by whoever does something."""

    def record(
        self,
        action: str,
        *,
        decision: str = "allowed",
        policies: Sequence[str] = (),
        objects: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        outcome: str = "done",
        required: bool = False,
    ) -> bool:
        """Whether it was written. `action`: save, verify, drop, … `decision`: allowed, denied, approved, break-glass.

        `objects`: kind → id or hash, written as they are; `names`: kind → plain name, written as keyed hashes unless
        plain names are allowed. `outcome`: `done`, or the code of an error. With `required`, raises FailedError when
        it could not be written.
        """
        ...


class NameHasher:
    """Plain names as keyed BLAKE3 hashes: who has the vault's chunk-id key can look a name up, others learn nothing."""

    def __init__(self, chunk_id_key: bytes) -> None:
        """32 bytes."""
        self._key = blake3(b"holdfast 1 audit name", key=chunk_id_key).digest()

    def hash(self, kind: str, name: str) -> str:
        """32 hex digits. `kind` (`asset`, `tag`, `path`, …) keeps equal names of different things apart."""
        data = unicodedata.normalize("NFC", name).encode(errors="surrogatepass")
        return blake3(f"{kind}\0".encode() + data, key=self._key).hexdigest(16)


def make_entry(
    actor: Actor,
    action: str,
    decision: str,
    policies: Sequence[str],
    objects: Mapping[str, str],
    outcome: str,
    origin: str,
    now_ns: int,
) -> Entry:
    """An entry with an id of its own, not checked yet."""
    return Entry(
        id=new_snapshot_id(now_ns),
        at_ns=now_ns,
        actor=actor,
        action=action,
        decision=decision,
        policies=list(policies),
        objects=dict(objects),
        outcome=outcome,
        origin=origin,
    )


def _fitting(text: str) -> str:
    """As an entry may hold it: what is no valid or no printable Unicode is escaped, and what is too long is cut."""
    clean = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return clean if len(clean) <= TEXT_MAX else f"{clean[: TEXT_MAX - 1]}…"


def _few(policies: list[str]) -> list[str]:
    """As many as fit into an entry: however many policies agree, what they allowed is recorded."""
    return policies if len(policies) <= _POLICIES_MAX else [*policies[: _POLICIES_MAX - 1], f"{len(policies)} in all"]


class SilentJournal:
    """For vaults without an audit log: nothing is written, and nothing is promised."""

    def record(
        self,
        action: str,
        *,
        decision: str = "allowed",
        policies: Sequence[str] = (),
        objects: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        outcome: str = "done",
        required: bool = False,
    ) -> bool:
        if required:
            raise FailedError(
                f"{action} has to be recorded, and there is no audit log", hint="make one: `holdfast audit create`"
            )
        return False


class StoreJournal:
    """Records of one actor. `write` is `Spool.append`, or what adds to the log directly."""

    def __init__(
        self,
        actor: Actor,
        write: Write,
        *,
        hasher: NameHasher | None = None,
        origin: str = "",
        clock: Clock = SYSTEM_CLOCK,
        progress: Progress = SILENT,
    ) -> None:
        """`hasher`: None where plain names are allowed. `origin`: the machine or site, or nothing."""
        self._actor = actor
        self._write = write
        self._hasher = hasher
        self._origin = origin
        self._clock = clock
        self._progress = progress

    def record(
        self,
        action: str,
        *,
        decision: str = "allowed",
        policies: Sequence[str] = (),
        objects: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        outcome: str = "done",
        required: bool = False,
    ) -> bool:
        now_ns = self._clock.now_ns()
        known = {kind: _fitting(what) for kind, what in {**(objects or {}), **self._hashed(names or {})}.items()}
        fitting = _few([_fitting(policy) for policy in policies])
        entry = make_entry(self._actor, action, decision, fitting, known, _fitting(outcome), self._origin, now_ns)
        try:
            self._write(entry)
        except HoldfastError as error:
            if required:
                raise FailedError(
                    f"{action} was not begun: it has to be recorded, and the audit log cannot be written "
                    f"({error.message})",
                    hint=error.hint,
                ) from error
            self._progress.note(f"NOT IN THE AUDIT LOG: {action} ({decision}, {outcome}): {error.message}")
            return False
        return True

    def _hashed(self, names: Mapping[str, str]) -> dict[str, str]:
        if self._hasher is None:
            return dict(names)
        return {f"{kind}-hash": self._hasher.hash(kind, name) for kind, name in names.items()}
