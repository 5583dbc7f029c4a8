"""Which runs a store has: their names are listed, and whatever lies among them hides none of them.

Whoever may add objects may put any names below `runs/`. Those that no journal has are jumped over once there are many
of them in a row: the store is asked for what comes after the next name that could be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.control.recovering.plan_files import RUN_DIGITS
from holdfast.recovery.journal.journal import RUNS
from holdfast.stores.protocol import Store

__all__ = ["ENTRIES", "FIRSTS", "RunsAt", "next_name"]

_LISTED_MAX: Final = 1_000_000
_IN_A_ROW: Final = 1_000  # what a store says in one answer: asking anew costs no more than listing on
_OF_A_RUN: Final = 100_000  # as many entries as a journal may have
_NUMBER_DIGITS: Final = 10
_RUN: Final = (*("0123456789abcdef",) * RUN_DIGITS, "/")
ENTRIES: Final = (*_RUN, *("0123456789",) * _NUMBER_DIGITS)
"""The signs that each place of a name may have: `<run>/<number>`."""
FIRSTS: Final = (*_RUN, *("0",) * _NUMBER_DIGITS)
"""The same, of those with the number 0 alone."""


def next_name(name: str, shape: Sequence[str] = ENTRIES) -> str:
    """The least name of that shape that comes after this one; empty where there is none."""
    fits = 0
    while fits < min(len(name), len(shape)) and name[fits] in shape[fits]:
        fits += 1
    if fits == len(name) < len(shape):
        return name + "".join(signs[0] for signs in shape[fits:])
    for place in range(min(fits, len(shape) - 1), -1, -1):
        for sign in shape[place]:
            if sign > name[place]:
                return name[:place] + sign + "".join(signs[0] for signs in shape[place + 1 :])
    return ""


class RunsAt:
    """`found`: run → when its journal was written to last, by the store's clock (ns), as far as it was listed.

    `is_cut`: so many objects lie there that the rest of them was not listed.
    """

    def __init__(self, store: Store, prefix: str = RUNS, shape: Sequence[str] = ENTRIES) -> None:
        self._store, self._prefix, self._shape = store, prefix, shape
        self.found: dict[str, int] = {}
        self.is_cut = False
        self.gone = False
        """Set by whoever waits no more: nothing further is listed."""

    def read(self) -> None:
        """List them. Raises as the store does; what was found before stays."""
        after, left = "", _LISTED_MAX
        while left > 0 and not self.gone:
            listed, further = self._stretch(after, left)
            left -= listed
            if not further:
                return
            after = self._prefix + further[:-1]  # the name itself may be there
        self.is_cut = True

    def _stretch(self, after: str, most: int) -> tuple[int, str]:
        """How many were listed, and the name to go on from: empty at the end."""
        number = others = entries = 0
        last = ""
        for number, info in enumerate(self._store.list(self._prefix, after), 1):
            name = info.key.removeprefix(self._prefix)
            run = name[:RUN_DIGITS]
            if len(name) == len(self._shape) and all(map(str.__contains__, self._shape, name)):
                self.found[run] = max(self.found.get(run, 0), info.modified_ns)
                others, entries, last = 0, entries + 1 if run == last else 1, run
                if entries >= _OF_A_RUN:
                    return number, next_name(f"{run}/{'9' * _NUMBER_DIGITS}", self._shape)
            else:
                if run in self.found and name[RUN_DIGITS : RUN_DIGITS + 1] == "/":  # what lies beside its entries
                    self.found[run] = max(self.found[run], info.modified_ns)
                others += 1
                if others >= _IN_A_ROW:
                    return number, next_name(name, self._shape)
            if number >= most or self.gone:
                return number, next_name(name, self._shape)
        return number, ""
