"""What long work tells its caller while it runs. The command line draws bars from it; a service may stream it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SILENT"]


class Progress(Protocol):
    """Receives what is going on. Calls may come from several threads; they must be quick and must not raise."""

    def phase(self, name: str, total_bytes: int | None) -> None:
        """A new phase begins (`reading`, `verifying`, …); `total_bytes` is None when unknown."""
        ...

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        """`done_bytes` more of the source are done; they took `stored_bytes` on the store."""
        ...

    def note(self, message: str) -> None:
        """One line that a person should see (a fallback, a retry, a skipped file)."""
        ...


class _Silent:
    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        pass


SILENT: Progress = _Silent()
