"""What a watch tells its caller while it runs."""

from __future__ import annotations

from typing import Protocol

from holdfast.checkpoints.candidates import Candidate

__all__ = ["WatchEvents", "SILENT_WATCH"]


class WatchEvents(Protocol):
    """Receives what the watch sees and does, in the watch's own thread. Calls must be quick and must not raise.

    A checkpoint that was protected before the watch began is passed over in silence.
    """

    def found(self, candidate: Candidate) -> None:
        """A checkpoint, complete or not, is seen for the first time."""
        ...

    def waiting(self, candidate: Candidate, reason: str) -> None:
        """It is not ready. Told again only when the reason is another one."""
        ...

    def protecting(self, candidate: Candidate) -> None:
        """It is ready and handed over."""
        ...

    def protected(self, candidate: Candidate, seconds: float) -> None:
        """It is protected; that took `seconds`."""
        ...

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        """It could not be protected, and will be tried again in `retry_seconds`; None: not by this watch."""
        ...

    def vanished(self, candidate: Candidate) -> None:
        """It was deleted (rotated away, most likely) before it could be protected."""
        ...

    def warning(self, message: str) -> None:
        """Something about the watch itself: an unreadable folder, a damaged state file."""
        ...


class _Silent:
    def found(self, candidate: Candidate) -> None:
        pass

    def waiting(self, candidate: Candidate, reason: str) -> None:
        pass

    def protecting(self, candidate: Candidate) -> None:
        pass

    def protected(self, candidate: Candidate, seconds: float) -> None:
        pass

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        pass

    def vanished(self, candidate: Candidate) -> None:
        pass

    def warning(self, message: str) -> None:
        pass


SILENT_WATCH: WatchEvents = _Silent()
