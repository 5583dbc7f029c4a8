"""The chains of members, as they lie in the log: who wrote, in whose name, and whether anything between is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from holdfast.audit.entries import MemberEntry, decode_leaf
from holdfast.audit.spool import NO_HEAD, Head, Member, check_signed, head_of
from holdfast.errors import DamageError, UntrustedError

__all__ = ["Chains"]


class Chains:
    """Takes the entries of a log one after the other."""

    def __init__(self, log: str, members: Mapping[str, Member]) -> None:
        self._log = log
        self._members = members
        self._heads: dict[str, Head] = {}
        self._findings: list[tuple[str, str, str]] = []
        self.counted: Counter[str] = Counter()

    def findings(self) -> Iterator[tuple[str, str, str]]:
        """Kind, place, message; in the order of the log."""
        yield from self._findings

    def take(self, at: int, data: bytes) -> None:
        """Entry number `at`."""
        name = f"entry {at}"
        try:
            entry, signed = decode_leaf(data, name)
            if signed is not None:
                check_signed(signed, self._log, self._members, name)
            elif entry.actor.fingerprint in self._members:  # whoever has the log's key may write anything there
                label = self._members[entry.actor.fingerprint].label
                raise UntrustedError(f"{name} is of the log itself, and names {label!r}, who did not sign it")
        except DamageError as error:
            self._findings.append(("malformed", name, error.message))
            return
        except UntrustedError as error:
            self._findings.append(("untrusted", name, error.message))
            return
        self.counted[signed.member if signed is not None else ""] += 1
        if signed is not None:
            self._follow(name, signed, head_of(signed.number, data))

    def _follow(self, name: str, signed: MemberEntry, head: Head) -> None:
        before = self._heads.get(signed.member, NO_HEAD)
        label = self._members[signed.member].label
        if head.number <= before.number:
            told = "again" if head == before else "out of its order"
            self._findings.append(("duplicate", name, f"number {head.number} of {label!r} is in the log {told}"))
            return
        if signed.previous != before.hash:
            message = f"before number {head.number} of {label!r}, entries are missing: they never came into the log"
            self._findings.append(("gap", name, message))
        self._heads[signed.member] = head
