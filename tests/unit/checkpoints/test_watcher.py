"""The watch as a whole: real folders, a clock that moves only when the watch pauses, trainers that act meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import checkpoint_writers as writers
import pytest

from holdfast.checkpoints.candidates import Candidate, FileStamp
from holdfast.checkpoints.watching import BACKLOG_MAX, Watcher, WatchSummary, next_to_protect
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import NotFoundError, RefusedError, SourceChangedError, StoreUnreachableError, UsageError

SETTLE_SECONDS = 10.0
INTERVAL_SECONDS = 5.0


class TrainersClock(ManualClock):
    """Lets other things happen while the watch pauses: actions are due at seconds since the beginning."""

    def __init__(self, now_ns: int = 1_700_000_000 * NANOSECONDS) -> None:
        super().__init__(now_ns)
        self.actions: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        self.actions.append((seconds, action))

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        due = [action for when, action in self.actions if when <= self.monotonic()]
        self.actions = [entry for entry in self.actions if entry[0] > self.monotonic()]
        for action in due:
            action()


@dataclass
class Recorder:
    """Every event as a tuple, in order."""

    events: list[tuple[object, ...]] = field(default_factory=list)

    def found(self, candidate: Candidate) -> None:
        self.events.append(("found", candidate.name))

    def waiting(self, candidate: Candidate, reason: str) -> None:
        self.events.append(("waiting", candidate.name, reason))

    def protecting(self, candidate: Candidate) -> None:
        self.events.append(("protecting", candidate.name))

    def protected(self, candidate: Candidate, seconds: float) -> None:
        self.events.append(("protected", candidate.name, seconds))

    def failed(self, candidate: Candidate, error: Exception, retry_seconds: float | None) -> None:
        self.events.append(("failed", candidate.name, type(error).__name__, retry_seconds))

    def vanished(self, candidate: Candidate) -> None:
        self.events.append(("vanished", candidate.name))

    def warning(self, message: str) -> None:
        self.events.append(("warning", message))

    def of(self, kind: str) -> list[tuple[object, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]


class Bench:
    """A watched folder, a vault that is a list, and a way to run a watch for a while."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "run"
        self.root.mkdir()
        self.state = tmp_path / "state.json"
        self.clock = TrainersClock()
        self.recorder = Recorder()
        self.saved: list[str] = []
        self.before_save: Callable[[Candidate], None] = lambda candidate: None

    def protect(self, candidate: Candidate) -> None:
        self.before_save(candidate)
        self.saved.append(candidate.name)

    def watcher(self, once_wait_seconds: float | None = None) -> Watcher:
        return Watcher(
            self.root,
            self.protect,
            state_file=self.state,
            settle_seconds=SETTLE_SECONDS,
            interval_seconds=INTERVAL_SECONDS,
            clock=self.clock,
            events=self.recorder,
            once_wait_seconds=once_wait_seconds,
        )

    def watch_for(self, seconds: float) -> WatchSummary:
        stop = threading.Event()
        self.clock.at(self.clock.monotonic() + seconds, stop.set)
        return self.watcher().run(once=False, stop=stop)

    def once(self, once_wait_seconds: float | None = None) -> WatchSummary:
        return self.watcher(once_wait_seconds).run(once=True, stop=threading.Event())

    def make(self, step: int, *, written_ns: int | None = None) -> Path:
        """A finished `step-N`, dated as told."""
        folder = self.root / f"step-{step}"
        files = {"model.safetensors": writers.safetensors(step), "trainer_state.json": b"{}"}
        for _ in writers.write_all(folder, files):
            pass
        if written_ns is not None:
            for name in files:
                os.utime(folder / name, ns=(written_ns, written_ns))
        return folder

    def begin(self, writer: Iterator[None], *, at: float, every: float) -> None:
        """Let a trainer write one operation after the other."""

        def go_on() -> None:
            if next(writer, "finished") != "finished":
                self.clock.at(self.clock.monotonic() + every, go_on)

        self.clock.at(at, go_on)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_checkpoint_is_protected_when_it_is_finished_and_not_before(bench: Bench) -> None:
    sizes: list[int] = []
    bench.before_save = lambda candidate: sizes.append(candidate.size)
    bench.begin(writers.huggingface(bench.root), at=7, every=3)
    summary = bench.watch_for(300)
    assert bench.saved == ["checkpoint-500"]
    on_disk = sum(path.stat().st_size for path in (bench.root / "checkpoint-500").iterdir())
    assert sizes == [on_disk]
    assert summary == WatchSummary(("checkpoint-500",), (), (), ())
    kinds = [event[0] for event in bench.recorder.events]
    assert kinds[0] == "found"
    assert kinds[-2:] == ["protecting", "protected"]
    assert set(kinds[1:-2]) == {"waiting"}


def test_the_same_reason_for_waiting_is_told_once(bench: Bench) -> None:
    folder = bench.make(1)
    (folder / "trainer_state.json").unlink()
    summary = bench.watch_for(200)
    reason = ".metadata, model.safetensors.index.json or trainer_state.json has not been written"
    assert bench.recorder.events == [("found", "step-1"), ("waiting", "step-1", reason)]
    assert summary.waiting == (("step-1", reason),)


def test_a_restart_does_not_save_again(bench: Bench) -> None:
    bench.make(1)
    bench.watch_for(60)
    bench.recorder.events.clear()
    summary = bench.watch_for(60)
    assert bench.saved == ["step-1"]
    assert bench.recorder.events == []
    assert summary.protected == ()


def test_a_checkpoint_rewritten_in_place_is_protected_again(bench: Bench) -> None:
    bench.make(1)
    bench.watch_for(60)
    bench.make(1)
    bench.watch_for(60)
    assert bench.saved == ["step-1", "step-1"]


def test_a_checkpoint_that_changes_while_it_is_saved_is_protected_again(bench: Bench) -> None:
    folder = bench.make(1)

    def late_rank(candidate: Candidate) -> None:
        (folder / "rng_state_1.pth").write_bytes(writers.torch_zip())

    bench.before_save = late_rank
    bench.watch_for(100)
    assert len(bench.saved) > 1


@pytest.mark.parametrize("content", [b"", b"not json", b'{"format": 99, "protected": {}}'])
def test_a_damaged_state_file_is_a_warning(content: bytes, bench: Bench) -> None:
    bench.make(1)
    bench.watch_for(60)
    bench.state.write_bytes(content)
    bench.recorder.events.clear()
    bench.watch_for(60)
    assert bench.saved == ["step-1", "step-1"]
    assert len(bench.recorder.of("warning")) == 1
    bench.watch_for(60)
    assert bench.saved == ["step-1", "step-1"]


def test_a_state_file_that_cannot_be_written_does_not_stop_the_watch(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    bench.state = tmp_path / "file" / "state.json"
    bench.make(1)
    bench.make(2)
    bench.watch_for(60)
    assert bench.saved == ["step-1", "step-2"]
    assert all("cannot be written" in str(message) for (message,) in bench.recorder.of("warning")[1:])
    assert len(bench.recorder.of("protected")) == 2


def test_few_are_protected_oldest_first(bench: Bench) -> None:
    for step in (30, 4):
        bench.make(step)
    bench.watch_for(60)
    assert bench.saved == ["step-4", "step-30"]


def test_a_backlog_is_protected_newest_first_until_it_is_small(bench: Bench) -> None:
    for step in (1, 2, 3, 4, 5):
        bench.make(step, written_ns=step * NANOSECONDS)
    bench.watch_for(60)
    assert bench.saved == ["step-5", "step-4", "step-3", "step-1", "step-2"]


def test_in_a_backlog_the_newest_is_the_one_written_last_not_the_highest_step(bench: Bench) -> None:
    """Steps 900 and 1000 are left from a timeline that was abandoned when the run resumed from 500."""
    for written, step in enumerate((900, 1000, 600, 700), start=1):
        bench.make(step, written_ns=written * NANOSECONDS)
    bench.watch_for(60)
    assert bench.saved[:2] == ["step-700", "step-600"]


def test_a_newer_one_that_arrives_during_a_backlog_goes_first(bench: Bench) -> None:
    """Ready at once, because its marker has long been there by the clock."""
    bench.clock = TrainersClock(time.time_ns() + 86_400 * NANOSECONDS)
    for step in (1, 2, 3, 4):
        bench.make(step, written_ns=step * NANOSECONDS)

    def arrive(candidate: Candidate) -> None:
        if candidate.step == 4:
            bench.make(9, written_ns=9 * NANOSECONDS)

    bench.before_save = arrive
    bench.watch_for(10)
    assert bench.saved == ["step-4", "step-9", "step-3", "step-1", "step-2"]


def test_order_of_those_without_a_step() -> None:
    base = Candidate(Path("/a"), None, "file", True, "", (FileStamp("a", 1, 5),))
    older = replace(base, path=Path("/b"), files=(FileStamp("b", 1, 4),))
    stepped = replace(base, path=Path("/c"), step=7, files=(FileStamp("c", 1, 9),))
    assert next_to_protect([base, older]) is older
    assert next_to_protect([base, stepped]) is stepped
    assert next_to_protect([base, older, stepped]) is stepped
    assert BACKLOG_MAX == 2


def failing(bench: Bench, errors: dict[str, list[Exception]]) -> None:
    def fail(candidate: Candidate) -> None:
        if errors.get(candidate.name):
            raise errors[candidate.name].pop(0)

    bench.before_save = fail


def test_a_failure_is_retried_with_backoff_and_holds_up_nobody(bench: Bench) -> None:
    failing(bench, {"step-1": [StoreUnreachableError("store s3://x does not answer") for _ in range(4)]})
    for step in (1, 2):
        bench.make(step)
    bench.watch_for(200)
    assert bench.recorder.of("failed") == [("step-1", "StoreUnreachableError", 5.0 * 2**n) for n in range(4)]
    assert bench.saved == ["step-2", "step-1"]
    kinds = [event[:2] for event in bench.recorder.events]
    assert kinds.index(("protected", "step-2")) < kinds.index(("protected", "step-1"))
    assert kinds.count(("protected", "step-1")) == 1


def test_a_failed_one_is_not_in_the_state_file_and_the_summary_says_why(bench: Bench) -> None:
    failing(bench, {"step-1": [StoreUnreachableError("store s3://x does not answer") for _ in range(99)]})
    bench.make(1)
    bench.make(2)
    summary = bench.watch_for(60)
    assert summary == WatchSummary(("step-2",), (("step-1", "store s3://x does not answer"),), (), ())
    assert list(json.loads(bench.state.read_bytes())["protected"]) == ["step-2"]


@pytest.mark.parametrize("error", [RefusedError("retention forbids it"), ValueError("a fault of ours"), MemoryError()])
def test_errors_that_a_repetition_does_not_mend_are_retried_less_often(error: Exception, bench: Bench) -> None:
    failing(bench, {"step-1": [error]})
    bench.make(1)
    bench.watch_for(100)
    assert bench.recorder.of("failed") == [("step-1", type(error).__name__, 60.0)]
    assert bench.saved == ["step-1"]


def test_backoff_is_bounded(bench: Bench) -> None:
    failing(bench, {"step-1": [StoreUnreachableError("no answer") for _ in range(30)]})
    bench.make(1)
    bench.watch_for(3000)
    delays = [event[2] for event in bench.recorder.of("failed")]
    assert delays[:8] == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert set(delays[8:]) == {300.0}


def test_a_rewritten_checkpoint_is_tried_without_regard_to_earlier_failures(bench: Bench) -> None:
    failing(bench, {"step-1": [RefusedError("refused")]})
    bench.make(1)
    bench.clock.at(20, lambda: bench.make(1))
    bench.watch_for(45)
    assert bench.recorder.of("failed") == [("step-1", "RefusedError", 60.0)]
    assert bench.saved == ["step-1"]


def test_one_that_is_rotated_away_while_it_waits_has_vanished(bench: Bench) -> None:
    folder = bench.make(1)
    bench.clock.at(7, lambda: shutil.rmtree(folder))
    summary = bench.watch_for(60)
    assert bench.saved == []
    assert bench.recorder.of("vanished") == [("step-1",)]
    assert summary.vanished == ("step-1",)
    assert summary.waiting == ()


def test_one_that_is_rotated_away_while_it_is_saved_has_vanished_and_not_failed(bench: Bench) -> None:
    def rotate(candidate: Candidate) -> None:
        if candidate.step == 1:
            shutil.rmtree(candidate.path)
            raise SourceChangedError("step-1 changed while it was read")

    bench.before_save = rotate
    bench.make(1)
    bench.make(2)
    bench.watch_for(60)
    assert bench.saved == ["step-2"]
    assert bench.recorder.of("vanished") == [("step-1",)]
    assert bench.recorder.of("failed") == []


def test_one_that_is_rotated_away_while_another_is_saved_is_not_handed_over(bench: Bench) -> None:
    def rotate_other(candidate: Candidate) -> None:
        shutil.rmtree(bench.root / "step-2")

    bench.make(1)
    bench.make(2)
    bench.before_save = rotate_other
    summary = bench.watch_for(60)
    assert bench.saved == ["step-1"]
    assert summary.vanished == ("step-2",)


def test_one_that_is_rotated_away_between_the_look_and_its_turn_is_not_handed_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.clock = TrainersClock(time.time_ns() + 86_400 * NANOSECONDS)  # ready at the first look
    bench.make(1)
    monkeypatch.setattr(bench.recorder, "found", lambda candidate: shutil.rmtree(candidate.path))
    summary = bench.watch_for(60)
    assert bench.saved == []
    assert bench.recorder.events == [("vanished", "step-1")]
    assert summary.vanished == ("step-1",)


def test_a_file_that_becomes_part_of_a_larger_checkpoint_has_not_vanished(bench: Bench) -> None:
    for _ in writers.write(bench.root / "final" / "model.safetensors", writers.safetensors()):
        pass
    bench.clock.at(3, lambda: (bench.root / "final" / "config.json").write_text("{}"))
    bench.watch_for(60)
    assert bench.saved == ["final"]
    assert bench.recorder.of("vanished") == []


def test_an_overwrite_in_place_is_waited_for_until_the_marker_is_new(bench: Bench) -> None:
    """DCP leaves the older `.metadata` over new data until the last rank is done, or for ever after a crash."""
    for _ in writers.dcp(bench.root / "step-5", seed=1):
        pass
    bench.watch_for(60)
    overwrite = writers.dcp(bench.root / "step-5", seed=2)
    for _ in range(4):  # the first file is whole, the second is begun; then the trainer is killed
        next(overwrite)
    summary = bench.watch_for(1000)
    assert bench.saved == ["step-5"]
    assert summary.waiting == (("step-5", "its data changed and .metadata did not: an overwrite has not finished"),)
    for _ in overwrite:
        pass
    bench.watch_for(60)
    assert bench.saved == ["step-5", "step-5"]


def test_a_folder_that_is_not_there_yet_is_waited_for(bench: Bench) -> None:
    bench.root.rmdir()
    bench.clock.at(20, lambda: bench.make(1))
    bench.watch_for(100)
    assert bench.saved == ["step-1"]
    assert bench.recorder.of("warning") == [(f"there is no folder {bench.root}",)]


def test_an_unreadable_folder_is_warned_of_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.make(1)
    (bench.root / "theirs").mkdir()
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == bench.root / "theirs":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    bench.watch_for(60)
    assert bench.saved == ["step-1"]
    assert bench.recorder.of("warning") == [(f"folder {bench.root / 'theirs'} cannot be read (Permission denied)",)]


def test_stop_ends_a_pause_within_a_moment(bench: Bench) -> None:
    stop = threading.Event()
    bench.clock.at(1.0, stop.set)
    bench.watcher().run(once=False, stop=stop)
    assert bench.clock.monotonic() < 1.5


def test_stop_is_heeded_between_two_checkpoints(bench: Bench) -> None:
    stop = threading.Event()
    bench.make(1)
    bench.make(2)
    bench.before_save = lambda candidate: stop.set()
    bench.watcher().run(once=False, stop=stop)
    assert bench.saved == ["step-1"]


def test_once_protects_what_is_complete_and_returns(bench: Bench) -> None:
    bench.make(1)
    bench.make(2)
    unfinished = bench.make(3)
    (unfinished / "trainer_state.json").unlink()
    summary = bench.once()
    assert bench.saved == ["step-1", "step-2"]
    assert summary.protected == ("step-1", "step-2")
    assert [key for key, _ in summary.waiting] == ["step-3"]
    assert bench.clock.monotonic() < SETTLE_SECONDS + 2 * INTERVAL_SECONDS


def test_once_does_not_wait_for_what_has_long_been_finished(bench: Bench) -> None:
    bench.clock = TrainersClock(time.time_ns() + 86_400 * NANOSECONDS)
    bench.make(1)
    assert bench.once().protected == ("step-1",)
    assert bench.clock.monotonic() == 0.0


def test_once_does_not_chase_a_trainer_that_goes_on(bench: Bench) -> None:
    bench.make(1)
    for step in range(2, 50):
        bench.clock.at(3.0 * step, partial(bench.make, step))
    summary = bench.once()
    assert summary.protected == ("step-1",)


def test_once_waits_no_longer_than_its_bound(bench: Bench) -> None:
    path = bench.root / "growing.h5"
    path.write_bytes(b"x")
    for second in range(0, 500, 2):
        bench.clock.at(second, partial(path.write_bytes, bytes(second + 2)))
    summary = bench.once(once_wait_seconds=40)
    assert bench.saved == []
    assert summary.waiting == (("growing.h5", "it is still changing"),)
    assert 40 <= bench.clock.monotonic() <= 40 + INTERVAL_SECONDS


def test_once_tries_three_times_and_says_when_it_gives_up(bench: Bench) -> None:
    failing(bench, {"step-1": [StoreUnreachableError("no answer") for _ in range(9)]})
    bench.make(1)
    summary = bench.once()
    assert bench.recorder.of("failed") == [
        ("step-1", "StoreUnreachableError", 5.0),
        ("step-1", "StoreUnreachableError", 10.0),
        ("step-1", "StoreUnreachableError", None),
    ]
    assert summary.failed == (("step-1", "no answer"),)


def test_once_does_not_repeat_what_is_hopeless(bench: Bench) -> None:
    failing(bench, {"step-1": [RefusedError("refused") for _ in range(9)]})
    bench.make(1)
    bench.make(2)
    summary = bench.once()
    assert bench.recorder.of("failed") == [("step-1", "RefusedError", None)]
    assert (summary.protected, summary.failed) == (("step-2",), (("step-1", "refused"),))


def test_once_needs_the_folder(bench: Bench) -> None:
    bench.root.rmdir()
    with pytest.raises(NotFoundError):
        bench.once()


def test_once_on_a_folder_that_is_a_checkpoint_itself(bench: Bench) -> None:
    bench.root = bench.make(7)
    assert bench.once().protected == ("step-7",)
    assert bench.once().protected == ()


def test_names_that_are_no_text_are_kept_apart(bench: Bench) -> None:
    for raw in (b"m-\xff.npz", b"m-\xfe.npz"):
        path = bench.root / os.fsdecode(raw)
        for _ in writers.write(path, writers.npz()):
            pass
    assert len(bench.once().protected) == 2
    assert bench.once().protected == ()


def test_a_slow_file_system_is_not_kept_busy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    real = os.scandir

    def slow_scandir(path: Path) -> object:
        if path == bench.root:
            looks.append(bench.clock.monotonic())
            bench.clock.sleep(10)
        return real(path)

    monkeypatch.setattr(os, "scandir", slow_scandir)
    bench.watch_for(300)
    pauses = [after - before for before, after in itertools.pairwise(looks)]
    assert min(pauses) >= 50


def test_times_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with pytest.raises(UsageError, match="interval"):
        Watcher(tmp_path, lambda candidate: None, state_file=state, interval_seconds=0)
    with pytest.raises(UsageError, match="negative"):
        Watcher(tmp_path, lambda candidate: None, state_file=state, settle_seconds=-1)
