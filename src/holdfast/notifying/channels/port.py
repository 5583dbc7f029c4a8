"""What every way to tell somebody can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.notifying.model import Message, Outcome

__all__ = ["Sender"]


class Sender(Protocol):
    """`together`: whether several incidents can go into one message."""

    together: bool

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Send them: several only where `together`. Never raises what a server did; never shows a secret."""
        ...
