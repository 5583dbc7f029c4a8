"""Inside the training loop: saving without a stall, every rank, any framework (design/008).

Nothing is imported before it is used: `from holdfast.training import Saver` loads no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.training.saving.saver import Saver
    from holdfast.training.saving.tickets import Exposure, Stats, Ticket

__all__ = ["Saver", "Ticket", "Stats", "Exposure"]


def __getattr__(name: str) -> Any:
    if name == "Saver":
        from holdfast.training.saving.saver import Saver

        return Saver
    if name in ("Ticket", "Stats", "Exposure"):
        from holdfast.training.saving import tickets

        return getattr(tickets, name)
    raise AttributeError(f"module 'holdfast.training' has no attribute {name!r}")
