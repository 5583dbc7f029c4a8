"""What the handler of a piece of work is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Value
from holdfast.control.working.database import WorkDatabase

__all__ = ["Job", "Leaving"]


class Leaving(BaseException):
    """The worker is ending: whoever does the work stops at once, as if it had died, and another worker takes it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """`sites`: newly opened, for this piece alone. `database`: of the queue. `is_leaving`, `is_cancelled`: looked at
    between steps.
    """

    key: str
    kind: str
    arguments: dict[str, Value]
    by: str
    attempt: int
    sites: DeclaredSites
    database: WorkDatabase
    told: Callable[[str], None]
    is_leaving: Callable[[], bool]
    is_cancelled: Callable[[], bool]

    def text(self, name: str) -> str:
        """An argument; empty where it was not given."""
        return str(self.arguments.get(name, ""))

    def pause_point(self) -> None:
        """Between two steps: raises Leaving where the worker is going, or the work was cancelled."""
        if self.is_leaving() or self.is_cancelled():
            raise Leaving
