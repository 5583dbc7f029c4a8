"""An operation and its record: what was asked, what became known meanwhile, how it ended.

Knows of the audit log only what a journal is: every command comes by here, and most vaults have no log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.errors import CredentialError, HoldfastError, RefusedError

if TYPE_CHECKING:
    from holdfast.audit.journal import Journal

__all__ = ["Facts", "recorded"]


class Facts:
    """What becomes known while an operation runs, for its record."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.outcome = "done"


@contextmanager
def recorded(
    journal: Journal,
    action: str,
    *,
    objects: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    policies: tuple[str, ...] = (),
    required: bool = False,
) -> Iterator[Facts]:
    """Record how an operation went: done, refused (a denial, with the error's code), or failed (with its code).

    With `required` there is a record before, too (`begun`), and nothing is begun without it. Errors go on as they are.
    """
    facts = Facts()
    facts.objects |= objects or {}
    facts.names |= names or {}

    def note(decision: str, outcome: str, must: bool = False) -> None:
        journal.record(
            action,
            decision=decision,
            policies=policies,
            objects=facts.objects,
            names=facts.names,
            outcome=outcome,
            required=must,
        )

    if required:
        note("allowed", "begun", must=True)
    try:
        yield facts
    except HoldfastError as error:
        denied = isinstance(error, (CredentialError, RefusedError))
        note("denied" if denied else "allowed", error.code)
        raise
    except BaseException:
        note("allowed", "interrupted")
        raise
    note("allowed", facts.outcome)
