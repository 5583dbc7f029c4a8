"""The recorder takes down moments, and the parts of the recovery follow from them."""

from __future__ import annotations

import pytest

from holdfast.clock import ManualClock
from holdfast.evidence.record_outcome import MomentKind, split_of
from holdfast.evidence.recorder import Recorder
from holdfast.objectives import NOT_MEASURED, Split


def test_moments_carry_both_clocks() -> None:
    clock = ManualClock()
    recorder = Recorder(clock)
    clock.sleep(2.5)
    moment = recorder.mark(MomentKind.FAULT, "The site is gone.", site="A")
    assert (moment.offset_seconds, moment.utc, moment.site) == (2.5, "2023-11-14T22:13:22.500Z", "A")
    assert recorder.started_utc == "2023-11-14T22:13:20.000Z"


def test_what_was_seen_late_is_put_where_it_belongs() -> None:
    clock = ManualClock()
    recorder = Recorder(clock)
    clock.sleep(3.0)
    recorder.mark(MomentKind.FAULT, "now")
    recorder.mark(MomentKind.CHECKPOINT, "a second ago", seconds_ago=1.0)
    assert [(moment.kind, moment.offset_seconds) for moment in recorder.timeline()] == [
        (MomentKind.CHECKPOINT, 2.0),
        (MomentKind.FAULT, 3.0),
    ]


def test_the_split_follows_from_the_moments() -> None:
    clock = ManualClock()
    recorder = Recorder(clock)
    assert split_of(recorder.timeline()) == Split()
    for kind, wait in ((MomentKind.FAULT, 1.0), (MomentKind.DETECTED, 0.5), (MomentKind.DECIDED, 0.25)):
        clock.sleep(wait)
        recorder.mark(kind, kind)
    split = split_of(recorder.timeline())
    assert split.detect == pytest.approx(0.5)
    assert split.decide == pytest.approx(0.25)
    assert (split.execute, split.verify, split.total) == (NOT_MEASURED, NOT_MEASURED, NOT_MEASURED)
