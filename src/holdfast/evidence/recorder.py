"""Takes down the moments of a drill as they happen."""

from __future__ import annotations

from holdfast.clock import Clock, to_rfc3339
from holdfast.evidence.record_outcome import Moment, MomentKind

__all__ = ["Recorder"]


class Recorder:
    """The timeline of one run. Offsets count from its making, on the monotonic clock. Not for several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self.started_utc = to_rfc3339(clock.now_ns())
        self._moments: list[Moment] = []

    def offset(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._start

    def mark(
        self,
        kind: MomentKind,
        text: str,
        *,
        site: str = "",
        result_sha256: str = "",
        seconds_ago: float = 0.0,
    ) -> Moment:
        """Take down what happened now, or `seconds_ago` (a poll sees some things late)."""
        moment = Moment(
            kind=kind,
            utc=to_rfc3339(self._clock.now_ns() - round(seconds_ago * 1e9)),
            offset_seconds=round(self.offset() - seconds_ago, 6),
            text=text,
            site=site,
            result_sha256=result_sha256,
        )
        self._moments.append(moment)
        return moment

    def timeline(self) -> tuple[Moment, ...]:
        """All moments in the order of their offsets."""
        return tuple(sorted(self._moments, key=lambda moment: moment.offset_seconds))
