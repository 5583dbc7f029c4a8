"""Sums of money that say what they are for, in which currency, and of which day the prices are."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast.economics.book import PriceBook
from holdfast.errors import UsageError

__all__ = ["Cost", "CostLine", "cost_of", "add_costs", "format_money"]


class CostLine(msgspec.Struct, frozen=True):
    """One part of a sum. `confirmed`: its price was compared with a published one."""

    what: str
    amount: float
    confirmed: bool = True


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """A sum, by the prices of a day (`as_of`). Amounts are not rounded before they are shown."""

    currency: str
    as_of: str
    lines: tuple[CostLine, ...] = ()

    @property
    def total(self) -> float:
        return sum(line.amount for line in self.lines)

    @property
    def confirmed(self) -> bool:
        """Whether all its prices were compared with published ones."""
        return all(line.confirmed for line in self.lines)

    def __str__(self) -> str:
        doubt = "" if self.confirmed else ", in part unconfirmed"
        return f"{format_money(self.total, self.currency)} (list prices of {self.as_of}{doubt})"


def cost_of(book: PriceBook, lines: Iterable[CostLine]) -> Cost:
    """The sum of these lines; those of zero are left out."""
    return Cost(currency=book.currency, as_of=book.as_of, lines=tuple(line for line in lines if line.amount))


def add_costs(costs: Iterable[Cost]) -> Cost:
    """The sum of sums; lines with the same words are one. Raises UsageError for several currencies, or for nothing."""
    given = list(costs)
    currencies = sorted({cost.currency for cost in given})
    if len(currencies) != 1:
        raise UsageError(f"costs in {', '.join(currencies) or 'no currency'} cannot be added")
    merged: dict[str, CostLine] = {}
    for line in (line for cost in given for line in cost.lines):
        before = merged.get(line.what, CostLine(line.what, 0.0))
        merged[line.what] = CostLine(line.what, before.amount + line.amount, before.confirmed and line.confirmed)
    return Cost(currency=currencies[0], as_of=min(cost.as_of for cost in given), lines=tuple(merged.values()))


def format_money(amount: float, currency: str) -> str:
    """`1234.5`, `USD` → `USD 1,234.50`; below ten cents with four digits."""
    digits = 4 if 0 < abs(amount) < 0.1 else 2
    return f"{currency} {amount:,.{digits}f}"
