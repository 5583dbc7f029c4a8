"""Progress and layout by themselves: figures, lines for logs, columns."""

from __future__ import annotations

import io

import pytest

from holdfast.cli.phrases import age, count, moment, printable
from holdfast.cli.progress import LINE_SECONDS, Lines, Phase, choose_progress
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.clock import NANOSECONDS, ManualClock, from_rfc3339

MIB = 1 << 20


def test_a_line_comes_only_every_few_seconds_and_has_all_figures() -> None:
    clock, stream = ManualClock(), io.StringIO()
    progress = Lines(stream, clock)
    progress.phase("saving", 100 * MIB)
    progress.advance(10 * MIB, 5 * MIB)
    assert stream.getvalue() == ""
    clock.sleep(LINE_SECONDS)
    progress.advance(40 * MIB, 20 * MIB)
    progress.advance(10 * MIB, 5 * MIB)
    assert stream.getvalue() == "saving (50 %): 50.0 MiB of 100.0 MiB, 10.0 MiB/s, 5.0 s left, stored 0.500\n"


def test_a_new_phase_starts_its_own_count() -> None:
    clock, stream = ManualClock(), io.StringIO()
    progress = Lines(stream, clock)
    progress.phase("saving", 100 * MIB)
    progress.advance(100 * MIB)
    progress.phase("verifying", None)
    clock.sleep(2 * LINE_SECONDS)
    progress.advance(3 * MIB)
    assert stream.getvalue() == "verifying: 3.0 MiB, 307.2 KiB/s\n"


def test_a_note_is_told_at_once_and_escaped() -> None:
    stream = io.StringIO()
    Lines(stream, ManualClock()).note("odd \x1b name")
    assert stream.getvalue() == "note: odd \\x1b name\n"


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    progress = choose_progress(stream, quiet=True)
    progress.phase("saving", 1)
    progress.advance(1)
    progress.note("x")
    progress.pause()
    assert stream.getvalue() == ""


def test_a_stream_that_is_no_terminal_gets_lines() -> None:
    assert isinstance(choose_progress(io.StringIO(), quiet=False), Lines)


def test_progress_outlives_its_reader() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress = Lines(Broken(), ManualClock())
    progress.note("nobody reads this")


def test_no_estimate_before_there_is_something_to_estimate_from() -> None:
    clock = ManualClock()
    phase = Phase("verifying", 10 * MIB, clock)
    assert phase.figures() == ["0 B of 10.0 MiB"]
    clock.sleep(0.5)
    phase.advance(MIB, 0)
    assert phase.figures() == ["1.0 MiB of 10.0 MiB", "2.0 MiB/s"]


def test_columns_are_aligned_and_only_elastic_ones_are_shortened() -> None:
    columns = [Column("ID"), Column("NAME", elastic=True), Column("SIZE", right=True)]
    lines = table(columns, [["a1", "a name that is much too long", "1 B"], ["b22", "short", "100 B"]], 24)
    assert lines == ["ID   NAME           SIZE", "a1   a name that…    1 B", "b22  short         100 B"]
    assert all(len(line) <= 24 for line in lines)


def test_facts_wrap_below_their_value_and_keep_paths_and_quantities_whole() -> None:
    lines = fact_lines(
        [("size", "1 2 3 4 5 6 7 8 9 10 11 MiB of 120 MiB"), ("none", ""), ("path", "/a/very/long/path/" + "x" * 40)],
        32,
    )
    assert lines == [
        "size  1 2 3 4 5 6 7 8 9 10",
        "      11 MiB of 120 MiB",
        "path  /a/very/long/path/" + "x" * 40,
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "just now"),
        (45, "45 s ago"),
        (61, "1 min ago"),
        (3 * 3600, "3 h ago"),
        (47 * 3600, "47 h ago"),
        (49 * 3600, "2 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    time = "2026-11-20T10:00:00.000Z"
    assert age(time, from_rfc3339(time) + round(seconds * NANOSECONDS)) == text


def test_phrases() -> None:
    assert count(1, "file") == "1 file"
    assert count(12345, "difference") == "12,345 differences"
    assert count(2, "recovery") == "2 recoveries"
    time = "2026-11-20T10:00:00.000Z"
    assert moment(time, from_rfc3339(time)) == "2026-11-20 10:00:00 UTC (just now)"
    assert printable("tab\t, bidi \u202e, half \ud800, fine é×–…") == "tab\\t, bidi \\u202e, half \\ud800, fine é×–…"
