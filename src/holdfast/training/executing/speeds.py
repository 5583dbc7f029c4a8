"""How fast saves are here, and what can still be saved in the time that is left: pure."""

from __future__ import annotations

__all__ = ["Speed", "MARGIN"]

MARGIN = 1.25  # a save at the end of a job has company: others are being sent away, too
_START_SECONDS = 2.0  # a process that opens the vault, whatever the size
_WEIGHT = 0.5  # of the newest save: stores change their speed within minutes


class Speed:
    """Bytes of checkpoints (not of what is stored: most of that is known already) that are saved in a second."""

    def __init__(self, bytes_per_second: float | None = None) -> None:
        """`bytes_per_second`: what was measured earlier, None where nothing was."""
        self.bytes_per_second = bytes_per_second

    def note(self, size: int, seconds: float) -> None:
        """A save of so many bytes took so long. One that was mostly start-up teaches nothing."""
        working = seconds - _START_SECONDS / 4
        if size <= 0 or working <= 0:
            return
        measured = size / working
        before = self.bytes_per_second
        self.bytes_per_second = measured if before is None else (1 - _WEIGHT) * before + _WEIGHT * measured

    def seconds_for(self, size: int) -> float | None:
        """How long saving so much takes, with a margin; None where nothing was measured."""
        if self.bytes_per_second is None:
            return None
        return _START_SECONDS / 4 + MARGIN * size / self.bytes_per_second

    def bytes_in(self, seconds: float) -> int | None:
        """How much can be saved in that time; None where nothing was measured."""
        if self.bytes_per_second is None:
            return None
        return max(0, int((seconds - _START_SECONDS / 4) * self.bytes_per_second / MARGIN))

    def fits(self, size: int, seconds: float) -> bool:
        """Whether so much can be saved in that time. Where nothing was measured, it is tried."""
        needed = self.seconds_for(size)
        return seconds > 0 and (needed is None or needed <= seconds)
