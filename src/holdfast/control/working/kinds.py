"""Kinds of work: one table. What does them is imported when it is first needed.

A kind whose work comes to the same however often it is begun may be begun again after its worker died: all of them are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.control.workflows import Arguments, Value
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.control.working.jobs import Job

__all__ = ["KINDS", "QUEUES", "Kind", "kind_called"]

QUEUES: Final[Mapping[str, Callable[[int], int]]] = {
    "runs": lambda slots: slots,
    "drills": lambda slots: slots,
    "chores": lambda slots: max(1, slots - 1),
    "hooks": lambda slots: _HOOKS,
}
"""Queues of DBOS, each with how many pieces a worker of so many slots does side by side: recoveries never wait for
chores, and nothing waits for receivers of webhooks that do not answer: each has a place of its own.
"""

_TEXT_MAX: Final = 4000
_SOON: Final = (5.0, 15.0, 60.0, 60.0, 300.0, 300.0, 900.0, 900.0)
_ONCE: Final = (10.0, 60.0)
_HOOKS: Final = 32  # as many as may be declared
_FOR_A_WEEK: Final = (5.0, 15.0, 60.0, 300.0, *[900.0] * 700)
_DEATHS_MAX: Final = 8


class Kind(NamedTuple):
    """`needs`, `takes`: arguments that must, and may, be there, with their types. `lane`: the argument of which two
    with the same value wait for each other; empty: all of the kind wait for each other.

    `pauses`: seconds before each further attempt after an error that passes (a store that does not answer). `ending`:
    how a person ends it while it runs; empty: `cancel` does. `deaths`: how many workers may die over it before it is
    given up. `lingers`: it may wait between two attempts for so long that nobody waits for it.
    """

    name: str
    queue: str
    does: str
    needs: Mapping[str, type]
    takes: Mapping[str, type] = {}
    lane: str = ""
    pauses: tuple[float, ...] = _ONCE
    ending: str = ""
    deaths: int = _DEATHS_MAX
    lingers: bool = False

    def handler(self) -> Callable[[Job], dict[str, Value]]:
        """What does it."""
        module, _, name = self.does.partition(":")
        found: Callable[[Job], dict[str, Value]] = getattr(importlib.import_module(module), name)
        return found

    def lane_of(self, arguments: Arguments, queue: str) -> str:
        """What has the same one, of this kind, waits."""
        return f"{self.name}|{queue or (str(arguments.get(self.lane, '')) if self.lane else '')}"

    def require(self, arguments: Arguments) -> dict[str, Value]:
        """The arguments, checked. Raises UsageError."""
        unknown = sorted(set(arguments) - set(self.needs) - set(self.takes))
        missing = sorted(set(self.needs) - set(arguments))
        if unknown or missing:
            what = f"lacks {', '.join(missing)}" if missing else f"takes no {', '.join(unknown)[:80]}"
            raise UsageError(f"work of the kind {self.name} {what}")
        for name, value in arguments.items():
            wanted = self.needs.get(name) or self.takes[name]
            if type(value) is not wanted or (wanted is str and len(str(value)) > _TEXT_MAX):
                raise UsageError(f"{name} of {self.name} is to be {wanted.__name__}, of at most {_TEXT_MAX} characters")
            if isinstance(value, str) and not value.isprintable():
                raise UsageError(f"{name} of {self.name} is no single line of text")
        return dict(arguments)


_RUNS: Final = "holdfast.control.working.runs"
_CHORES: Final = "holdfast.control.working.chores"

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "recover.run",
            "runs",
            f"{_RUNS}:recover_run",
            {"run": str},
            {"target": str},
            lane="run",
            pauses=_SOON,
            ending="`holdfast recover stop RUN` ends a run, and takes back what it did",
        ),
        Kind("recover.check", "chores", f"{_RUNS}:recover_check", {"name": str}, lane="name"),
        Kind(
            "drill.run",
            "drills",
            f"{_RUNS}:drill_run",
            {"name": str},
            {"scenario": str},
            pauses=(),
            ending="`holdfast drill stop` ends drills, and cleans up after them",
        ),
        Kind("site.sync", "chores", f"{_CHORES}:site_sync", {}, {"asset": str}),
        Kind("catalog.update", "chores", f"{_CHORES}:catalog_update", {}),
        Kind("evidence.write", "chores", f"{_CHORES}:evidence_write", {"run": str}, lane="run"),
        Kind(
            "webhook.send",
            "hooks",
            "holdfast.control.hooks.sending:webhook_send",
            {"hook": str, "event": str, "body": str, "until": int},
            lane="hook",
            pauses=_FOR_A_WEEK,
            deaths=1000,
            lingers=True,
        ),
    )
}


def kind_called(name: str) -> Kind:
    """Raises UsageError."""
    try:
        return KINDS[name]
    except KeyError:
        raise UsageError(f"there is no work of the kind {name[:80]!r}", hint=f"kinds: {', '.join(KINDS)}") from None
