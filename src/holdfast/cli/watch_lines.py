"""What a watch says while it runs: with `--json` one object per line on stdout; else what was protected goes there, and
everything else to stderr.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.output import Output, Page
from holdfast.cli.phrases import clean, count, printable, short_id
from holdfast.cli.schemas.watching import (
    CheckpointFacts,
    CopyFacts,
    Failed,
    Found,
    Protected,
    Protecting,
    Stopped,
    Vanished,
    Waiting,
    Warned,
    WatchEvent,
)
from holdfast.cli.views.layout import fact_lines
from holdfast.clock import Clock, to_rfc3339
from holdfast.errors import HoldfastError
from holdfast.units import format_duration, format_size

if TYPE_CHECKING:
    from holdfast.checkpoints.candidates import Candidate
    from holdfast.checkpoints.watching import WatchSummary
    from holdfast.control.snapshots.protecting import Protected as Outcome

__all__ = ["WatchTeller"]


class WatchTeller:
    """Receives the watch's events, in its thread."""

    def __init__(self, output: Output, folder: Path, clock: Clock) -> None:
        self._output = output
        self._folder = Path(os.path.realpath(folder))
        self._clock = clock
        self._outcomes: dict[Path, Outcome] = {}
        self.exit_code = 1
        """That of the last error."""

    def saved(self, candidate: Candidate, outcome: Outcome) -> None:
        """What became of a checkpoint that `protected` will be told of next."""
        self._outcomes[candidate.path] = outcome

    def found(self, candidate: Candidate) -> None:
        record = Found(time=self._now(), checkpoint=self._named(candidate), bytes=candidate.size)
        self._talk(record, f"found {_called(record)}, {format_size(record.bytes)}, {record.checkpoint.framework}")

    def waiting(self, candidate: Candidate, reason: str) -> None:
        record = Waiting(time=self._now(), checkpoint=self._named(candidate), reason=clean(reason))
        self._talk(record, f"waiting for {_called(record)}: {record.reason}")

    def protecting(self, candidate: Candidate) -> None:
        record = Protecting(time=self._now(), checkpoint=self._named(candidate))
        self._talk(record, f"saving {_called(record)}")

    def protected(self, candidate: Candidate, seconds: float) -> None:
        outcome = self._outcomes.pop(candidate.path)
        root = outcome.report.root
        copies = [
            CopyFacts(url=url, bytes=copy.bytes, error=_missing(copy.left_out)) for url, copy in outcome.copies.items()
        ]
        copies += [CopyFacts(url=url, bytes=0, error=clean(error.message)) for url, error in outcome.failed.items()]
        record = Protected(
            time=self._now(),
            checkpoint=self._named(candidate),
            snapshot=root.id,
            bytes=sum(link.size for link in root.parts),
            stored_bytes=root.stats.get("stored", 0),
            verdict=root.validation.verdict,
            findings=len(root.validation.findings),
            read_back=outcome.report.verified is not None,
            validated=outcome.report.validated,
            copies=copies,
            seconds=seconds,
        )
        self._output.give(record, _protected_lines)
        for finding in root.validation.findings:
            self._output.warn(f"{finding.check}: {clean(finding.where)}: {finding.message}")
        for copy in copies:
            if copy.error:
                self._output.warn(f"not copied to {copy.url}: {copy.error}")

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        self._outcomes.pop(candidate.path, None)
        known = error if isinstance(error, HoldfastError) else None
        self.exit_code = known.exit_code if known is not None else 1
        record = Failed(
            time=self._now(),
            checkpoint=self._named(candidate),
            code=known.code if known is not None else "unexpected",
            message=clean(known.message) if known is not None else f"unexpected {type(error).__name__}",
            hint=clean(known.hint) if known is not None else "this is a fault in holdfast: please report it",
            retry_seconds=retry_seconds,
        )
        again = f"; again in {format_duration(retry_seconds)}" if retry_seconds is not None else ""
        self._talk(record, f"could not save {_called(record)}: {record.message}{again}", warn=True)
        if record.hint and not self._output.json:
            self._output.say(f"hint: {record.hint}")

    def vanished(self, candidate: Candidate) -> None:
        record = Vanished(time=self._now(), checkpoint=self._named(candidate))
        self._talk(record, f"{_called(record)} was deleted before it could be saved", warn=True)

    def warning(self, message: str) -> None:
        self._talk(Warned(time=self._now(), message=clean(message)), clean(message), warn=True)

    def stopped(self, summary: WatchSummary) -> None:
        """The watch has ended."""
        record = Stopped(
            time=self._now(),
            protected=list(summary.protected),
            failed=[key for key, _ in summary.failed],
            waiting=[key for key, _ in summary.waiting],
            vanished=list(summary.vanished),
            seconds=self._output.seconds,
        )
        waiting = f"{count(len(record.waiting), 'checkpoint')} not complete: {', '.join(record.waiting)}"
        if self._output.json:
            self._output.give(record, lambda record, page: ())
        elif record.waiting:
            self._output.say(waiting)

    def _talk(self, record: WatchEvent, text: str, *, warn: bool = False) -> None:
        if self._output.json:
            self._output.give(record, lambda record, page: ())
        elif warn:
            self._output.warn(text)
        else:
            self._output.say(f"{_at(record)}  {text}")

    def _named(self, candidate: Candidate) -> CheckpointFacts:
        path = candidate.path
        relative = path.name if path == self._folder else os.path.relpath(path, self._folder)
        return CheckpointFacts(path=clean(relative), step=candidate.step, framework=candidate.framework)

    def _now(self) -> str:
        return to_rfc3339(self._clock.now_ns())


def _protected_lines(record: Protected, page: Page) -> Iterable[str]:
    unread = "not read back"
    good = "validated" if record.validated else "good, what is validated is newer" if record.read_back else unread
    state = record.verdict if record.findings else good
    reached = [copy.url for copy in record.copies if not copy.error]
    copied = f"; copied to {', '.join(reached)}" if reached else ""
    text = (
        f"protected {_called(record)} as {short_id(record.snapshot)} in {format_duration(record.seconds)}: "
        f"stored {format_size(record.stored_bytes)} of {format_size(record.bytes)}, {state}{copied}"
    )
    return fact_lines([(_at(record), text)], page.width)


def _at(record: WatchEvent) -> str:
    return f"{record.time[11:19]}Z"


def _called(record: Found | Waiting | Protecting | Protected | Failed | Vanished) -> str:
    step = record.checkpoint.step
    return printable(record.checkpoint.path) + ("" if step is None else f" (step {step})")


def _missing(left_out: list[str]) -> str:
    return f"{count(len(left_out), 'snapshot')} left out because of damage" if left_out else ""
