"""What the saver knows of its saves: which are under way, what became of the others, what would be lost now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from holdfast.errors import FailedError, HoldfastError
from holdfast.training.saving.messages import (
    Dropped,
    Durable,
    Failed,
    Opened,
    Report,
    Sent,
    Spooled,
    Trouble,
    Waiting,
)
from holdfast.training.saving.tickets import Exposure, Stats, Ticket

__all__ = ["LOG", "Ledger", "as_ours", "error_named", "log_failure"]

LOG = logging.getLogger("holdfast.training")


def log_failure(ticket: Ticket) -> None:
    """A warning in the log `holdfast.training`: what the saver does with a failed save by default."""
    why = ticket.error.message if ticket.error is not None else ticket.state
    hint = f" ({ticket.error.hint})" if ticket.error is not None and ticket.error.hint else ""
    LOG.warning("step %s is NOT saved: %s%s", ticket.step, why, hint)


class Ledger:
    """Tickets and numbers. Not locked: its saver locks."""

    def __init__(
        self, on_failure: Callable[[Ticket], None], on_durable: Callable[[Ticket, float], None] | None = None
    ) -> None:
        """`on_durable`: told of each save that is durable, and how many seconds it took from when it was staged."""
        self._on_failure = on_failure
        self._on_durable = on_durable
        self._tickets: dict[int, Ticket] = {}  # those that have not ended
        self._content: dict[int, int] = {}  # content time → number
        self._spooled: dict[int, int] = {}  # number → bytes on the local disk
        self._began = time.monotonic()
        self._durable_at = self._began
        self._staged_at: dict[int, float] = {}
        self._newest_step: int | None = None
        self._durable_content = 0
        self.last_durable_step: int | None = None
        self.reason = ""
        self.counts = dict.fromkeys(("saves", "durable", "failed", "skipped", "spooled", "dropped", "restarts"), 0)
        self.bytes = {"raw": 0, "stored": 0}
        self.seconds = {"stalled": 0.0, "longest": 0.0, "waited": 0.0, "saving": 0.0}
        self._failures: list[Ticket] = []
        self._durables: list[tuple[Ticket, float]] = []

    @property
    def open(self) -> list[Ticket]:
        """Tickets that have not ended, oldest first."""
        return [self._tickets[number] for number in sorted(self._tickets)]

    def begin(self, ticket: Ticket, content_ns: int) -> None:
        self.counts["saves"] += 1
        self._tickets[ticket.number] = ticket
        self._content[content_ns] = ticket.number
        self._staged_at[ticket.number] = time.monotonic()
        if ticket.step is not None:
            self._newest_step = max(ticket.step, self._newest_step or ticket.step)

    def stalled(self, ticket: Ticket, seconds: float, waited: float) -> None:
        """Training stood still for so long, `waited` of it for an earlier save."""
        ticket.stalled_seconds = seconds
        self.seconds["stalled"] += seconds
        self.seconds["waited"] += waited
        self.seconds["longest"] = max(seconds, self.seconds["longest"])

    def skip(self, ticket: Ticket, error: HoldfastError) -> None:
        self.counts["saves"] += 1
        self.counts["skipped"] += 1
        ticket.move_to("skipped", error)
        self._failures.append(ticket)

    def fail(self, ticket: Ticket, error: HoldfastError) -> None:
        self._forget(ticket)
        if not ticket.done():
            self.counts["failed"] += 1
            ticket.move_to("failed", error)
            self._failures.append(ticket)

    def find(self, number: int) -> Ticket | None:
        return self._tickets.get(number)

    def take(self, report: Report) -> int | None:
        """What the saving process says. Returns the ticket whose shared memory is free now."""
        match report:
            case Durable():
                self._take_durable(report)
                return report.ticket
            case Spooled():
                self.reason = report.message
                if (ticket := self.find(report.ticket)) is not None:
                    self.counts["spooled"] += 1
                    self._spooled[ticket.number] = report.bytes
                    ticket.move_to("spooled", error_named(report.code, report.message, ""))
                    LOG.warning("step %s waits on the local disk: %s", ticket.step, report.message)
                return report.ticket
            case Failed():
                self._take_failed(report)
                return report.ticket
            case Waiting():
                self.reason = report.message
                if (ticket := self.find(report.ticket)) is not None and ticket.state != "waiting":
                    ticket.move_to("waiting", error_named(report.code, report.message, ""))
                    LOG.warning("step %s waits in memory, and is tried again: %s", ticket.step, report.message)
            case _:
                self._take_news(report)
        return None

    def _take_news(self, report: Report) -> None:
        match report:
            case Dropped():
                self.counts["dropped"] += 1
                if (ticket := self.find(report.ticket)) is not None:
                    self.fail(ticket, FailedError("the spool was full, and newer states are worth more"))
            case Sent():
                self._take_sent(report)
            case Opened() if report.left:
                LOG.warning("%d states of an earlier run are in the spool, and are sent now", report.left)
            case Trouble():
                LOG.info("%s", report.message)

    def tell(self) -> None:
        """Tell of what failed, and what became durable, since. To be called without a lock: it is the user's code."""
        failures, self._failures = self._failures, []
        durables, self._durables = self._durables, []
        for ticket, seconds in durables:
            if self._on_durable is not None:
                self._on_durable(ticket, seconds)
        for ticket in failures:
            try:
                self._on_failure(ticket)
            except Exception:  # whatever it is, training goes on
                LOG.exception("on_failure failed for step %s", ticket.step)

    def exposure(self) -> Exposure:
        return Exposure(
            self.last_durable_step,
            self._newest_step,
            time.monotonic() - self._durable_at,
            len(self._tickets),
            sum(self._spooled.values()),
            self.reason,
        )

    def stats(self, staging_bytes: int) -> Stats:
        counts, seconds = self.counts, self.seconds
        return Stats(
            counts["saves"],
            counts["durable"],
            counts["failed"],
            counts["skipped"],
            counts["spooled"],
            counts["dropped"],
            counts["restarts"],
            seconds["stalled"],
            seconds["longest"],
            seconds["waited"],
            seconds["saving"],
            self.bytes["raw"],
            self.bytes["stored"],
            staging_bytes,
        )

    def _take_failed(self, report: Failed) -> None:
        ticket = self.find(report.ticket)
        if ticket is not None:
            self.fail(ticket, error_named(report.code, report.message, report.hint))
        else:
            LOG.warning("a state of an earlier run is NOT saved: %s", report.message)

    def _take_durable(self, report: Durable) -> None:
        self.reason = ""
        ticket = self._tickets.get(report.ticket)
        if ticket is None:
            return
        ticket.snapshot, ticket.verdict = report.snapshot, report.verdict
        ticket.saving_seconds, ticket.raw_bytes = report.seconds, report.raw_bytes
        ticket.stored_bytes = report.stored_bytes
        self.counts["durable"] += 1
        self.seconds["saving"] += report.seconds
        self.bytes["raw"] += report.raw_bytes
        self.bytes["stored"] += report.stored_bytes
        self._is_durable(ticket)

    def _take_sent(self, report: Sent) -> None:
        LOG.info("step %s, which waited in the spool, is durable: %s", report.step, report.snapshot)
        ticket = self._tickets.get(self._content.get(report.content_ns, 0))
        if ticket is not None:  # an earlier saving process had spooled it
            ticket.snapshot = report.snapshot
            self.counts["durable"] += 1
            self._is_durable(ticket)

    def _is_durable(self, ticket: Ticket) -> None:
        content = self._content_of(ticket)
        if (staged := self._staged_at.get(ticket.number)) is not None:
            self._durables.append((ticket, time.monotonic() - staged))
        if content >= self._durable_content:
            self._durable_content = content
            self._durable_at = self._staged_at.get(ticket.number, self._began)
            if ticket.step is not None:
                self.last_durable_step = ticket.step
        self._forget(ticket)
        ticket.move_to("durable")

    def _content_of(self, ticket: Ticket) -> int:
        return next((at for at, number in self._content.items() if number == ticket.number), 0)

    def _forget(self, ticket: Ticket) -> None:
        """It has ended."""
        self._content.pop(self._content_of(ticket), None)
        self._tickets.pop(ticket.number, None)
        self._spooled.pop(ticket.number, None)
        self._staged_at.pop(ticket.number, None)


def as_ours(error: Exception, what: str) -> HoldfastError:
    """The error, or what it says where it is of another library."""
    if isinstance(error, HoldfastError):
        return error
    return FailedError(f"{what} ({type(error).__name__}: {error})"[:300])


def error_named(code: str, message: str, hint: str) -> HoldfastError:
    """The error of that code, as the other process raised it."""
    found: list[type[HoldfastError]] = [HoldfastError]
    for kind in found:
        if kind.code == code and kind is not HoldfastError:
            return kind(message, hint=hint)
        found.extend(kind.__subclasses__())
    return FailedError(message, hint=hint)
