"""The pure parts of `train-exec`: loops, choices, speeds, silence, ends; and placing, cut off at every rename."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from holdfast.control.vaults.opening import create
from holdfast.errors import FailedError, UsageError
from holdfast.events import SILENT
from holdfast.testing.workspace import own_memory
from holdfast.training.executing.asks import Answer, Ask, Checkpoint, Place
from holdfast.training.executing.attempts import Attempt, judge, merged, skipped_spans
from holdfast.training.executing.backing_off import delay_before
from holdfast.training.executing.beginning import begin
from holdfast.training.executing.choosing import Options, ranked, reason_for, to_move_aside
from holdfast.training.executing.commands.bell import Bell
from holdfast.training.executing.commands.ends import Recoverable, end_of
from holdfast.training.executing.commands.family import catches, family_of
from holdfast.training.executing.commands.torch_errors import device_error_in
from holdfast.training.executing.events import Estimated
from holdfast.training.executing.folder import ledger_path
from holdfast.training.executing.grace import Grace
from holdfast.training.executing.hanging import Silence
from holdfast.training.executing.placing import move_aside, put_in_place, safe_place, write_trackers
from holdfast.training.executing.saves import Workers
from holdfast.training.executing.saving import save
from holdfast.training.executing.speeds import Speed


def _tries(*written: int, end: str = "WORKLOAD_EXC", **more: Any) -> list[Attempt]:
    return [
        Attempt(f"{number:016x}", 100 + number, step=one // 10 or None, written=one, end=end, **more)
        for number, one in enumerate(written)
    ]


def test_three_attempts_from_one_checkpoint_fall_back_once() -> None:
    assert judge(_tries(50, 50), 5, 50).verdict == "go"
    assert judge(_tries(50, 50, 50), 5, 50).verdict == "fall-back"
    assert judge(_tries(50, 50, 50), 6, 60).verdict == "go"
    assert judge(_tries(50, 40, 50, 50), 5, 50).verdict == "go"


def test_from_nothing_there_is_nothing_to_fall_back_to() -> None:
    assert judge(_tries(0, 0, 0), None, 0).verdict == "give-up"


def test_an_end_from_outside_does_not_count_and_one_that_nobody_saw_does() -> None:
    asked = [Attempt("a", 1, written=50, end="SIGTERM", asked=True)] * 3
    assert judge(asked, 5, 50).verdict == "go"
    assert judge(_tries(50, 50, 50, end=""), 5, 50).verdict == "fall-back"


def test_success_and_anew_end_the_count() -> None:
    done = Attempt("d", 103, step=5, written=50, end="DONE")
    assert judge([*_tries(50, 50, 50), done], 5, 50).verdict == "go"
    anew = Attempt("e", 104, step=5, written=50, end="WORKLOAD_EXC", anew=True)
    assert judge([*_tries(50, 50, 50), anew], 5, 50).stuck == 1


def test_after_a_fall_only_what_gets_beyond_the_loop_is_progress() -> None:
    fell = Attempt("f", 110, step=4, written=40, fell_back=True, span_from=50, span_step=5, end="WORKLOAD_EXC")
    before = [*_tries(50, 50, 50), fell]
    stuck = [*before, *(Attempt(f"g{n}", 111 + n, step=5, written=55, end="HANG") for n in range(3))]
    assert judge(stuck, 5, 55).verdict == "give-up"
    beyond = [*before, *(Attempt(f"h{n}", 111 + n, step=7, written=70, end="HANG") for n in range(3))]
    assert judge(beyond, 7, 70).verdict == "fall-back"
    assert [(span.begin, span.end) for span in skipped_spans(stuck)] == [(50, 110)]


def test_what_is_known_of_how_an_attempt_ended_is_kept() -> None:
    begun, ended = Attempt("a", 1), Attempt("a", 1, end="HANG")
    assert merged([begun], [ended]) == merged([ended], [begun]) == [ended]


def _one(place: str, step: int | None, written: int, snapshot: str = "") -> Checkpoint:
    return Checkpoint(place, step, written * 10**10, snapshot=snapshot)


def test_the_newest_wins_whatever_its_step_and_of_equals_the_one_that_lies_here() -> None:
    here, vault = _one("step_5", 5, 50), _one("step_9", 9, 40, "s9")
    assert ranked(Options([here], [vault]))[0] is here
    assert "though its step is higher" in reason_for(here, Options([here], [vault]))
    same = _one("step_5", 5, 50, "s5")
    assert ranked(Options([here], [same])) == [here]
    newer = _one("step_6", 6, 60, "s6")
    assert ranked(Options([here], [newer])) == [newer, here]
    spans = skipped_spans([Attempt("f", 70 * 10**10, fell_back=True, span_from=60 * 10**10)])
    assert ranked(Options([here], [newer]), spans) == [here]


def test_only_what_a_framework_would_pick_up_instead_moves_aside() -> None:
    chosen, newer, older = _one("step_5", 5, 50), _one("step_7", 7, 60), _one("step_4", 4, 40)
    torn, old_torn = _one("step_6", 6, 45), _one("step_3", 3, 30)
    assert to_move_aside(chosen, [chosen, newer, older], [torn, old_torn]) == [newer, torn]
    assert to_move_aside(None, [], [torn]) == []


def test_what_fits_follows_what_was_measured() -> None:
    speed = Speed()
    assert speed.fits(10**12, 1.0), "nothing is known: it is tried"
    assert speed.seconds_for(1) is None
    speed.note(100 * 10**6, 1.5)
    assert speed.seconds_for(80 * 10**6) == pytest.approx(0.5 + 1.25 * 0.8)
    assert speed.fits(80 * 10**6, 1.6)
    assert not speed.fits(80 * 10**6, 1.4)
    assert speed.bytes_in(1.75) == 100 * 10**6
    assert speed.bytes_in(0.1) == 0


def test_silence_is_told_once_and_learned_from_the_longest_interval() -> None:
    given = Silence(10.0)
    given.begin(0.0)
    assert [given.is_too_long(now) for now in (9.9, 10.0, 20.0)] == [False, True, False]
    given.heard(21.0)
    assert given.is_too_long(31.0)
    learned = Silence(None, learned=True)
    learned.begin(0.0)
    for now in (0.0, 100.0, 400.0, 500.0):
        learned.heard(now, checkpoint=True)
    assert learned.limit_seconds == 900.0
    assert not Silence(None).is_too_long(1e9)


def test_back_off_grows_and_is_bounded() -> None:
    random = Random(1)
    for stuck, whole in ((0, 1.0), (1, 2.0), (3, 8.0), (40, 120.0)):
        delays = [delay_before(stuck, random) for _ in range(50)]
        assert whole / 2 <= min(delays) < max(delays) <= whole


def test_ends_have_names() -> None:
    assert end_of(signal.SIGSEGV).kind == end_of(signal.SIGBUS).kind == "SEGFAULT"
    assert end_of(signal.SIGKILL, out_of_memory=True).words.endswith("for want of memory")
    assert (end_of(3 << 8).kind, end_of(3 << 8).code) == ("WORKLOAD_EXC", 3)
    assert end_of(137 << 8).words == "SIGNAL_EXC: exit code 137, so it tells of SIGKILL"
    assert end_of(0, hung=True).kind == "HANG"


def test_what_may_be_started_again() -> None:
    some = Recoverable.parse("75, sigkill,GPU_ERROR")
    assert some.covers(end_of(75 << 8))
    assert some.covers(end_of(signal.SIGKILL))
    assert some.covers(end_of(1 << 8, device_error="CUDA error"))
    assert not some.covers(end_of(1 << 8))
    everything = Recoverable.parse("any")
    assert everything.covers(end_of(1 << 8))
    assert not everything.covers(end_of(signal.SIGINT))
    assert not everything.covers(end_of(0))
    with pytest.raises(UsageError, match="NONSENSE"):
        Recoverable.parse("1,NONSENSE")


def test_only_text_that_names_a_device_is_a_device_error() -> None:
    told = device_error_in(b'{"message":{"message":"x\\nRuntimeError: CUDA error: illegal \\u001b[31m access"}}')
    assert told.startswith("RuntimeError: CUDA error")
    assert told.isprintable()
    assert device_error_in(b'{"message":"ValueError: no"}') == device_error_in(b"[" * 10**6) == ""


@pytest.mark.parametrize("text", ["../x", "/etc/x", "a/../../x", ".ssh/x", "a/.git", "", "a\0b", "a/" * 9 + "x"])
def test_places_that_lead_out_are_not_taken(text: str) -> None:
    assert safe_place(text) is None


def test_a_link_in_the_way_of_a_place_is_refused_and_nothing_is_replaced(tmp_path: Path) -> None:
    folder, elsewhere, restored = tmp_path / "runs", tmp_path / "elsewhere", tmp_path / "restored"
    for one in (folder, elsewhere, restored):
        one.mkdir()
    (folder / "out").symlink_to(elsewhere)
    with pytest.raises(FailedError, match="leads out"):
        put_in_place(folder, restored, "out/step_5")
    (folder / "step_5").mkdir()
    with pytest.raises(FailedError, match="appeared"):
        put_in_place(folder, restored, "step_5")
    moved = move_aside(folder, "step_5", 7)
    put_in_place(folder, restored, "step_5")
    assert (folder / moved).is_dir()


def test_trackers_are_written_again_where_they_say_something_else(tmp_path: Path) -> None:
    (tmp_path / "latest").write_text("global_step7")
    assert write_trackers(tmp_path, "global_step5", "latest: global_step5\n../x: 5") == ["latest"]
    assert (tmp_path / "latest").read_text() == "global_step5"
    assert write_trackers(tmp_path, "global_step5", "latest: global_step5") == []


def test_who_catches_a_signal_is_seen() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert catches(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not catches(os.getpid(), signal.SIGUSR2)
    assert family_of(os.getpid())[0] == os.getpid()


def test_a_save_that_would_not_be_over_in_time_is_not_begun_beside_a_living_command(tmp_path: Path) -> None:
    (tmp_path / "step_5").mkdir()
    (tmp_path / "step_5/model.safetensors").write_bytes(_safetensors(5))
    told: list[Any] = []
    place = Place("m", str(tmp_path), vault=str(tmp_path / "vault"))
    workers = Workers(place, told.append, Speed(1.0))
    bell = Bell()
    grace = Grace(workers, ledger_path(tmp_path, place.vault, "m"), bell, told.append, time.monotonic() + 60.0)
    assert not grace.look(command_lives=True)
    [estimate] = told
    assert (estimate.checkpoint.place, estimate.starts) == ("step_5", False)
    assert 0 < estimate.bytes_possible < 48
    assert estimate.seconds_needed > 60 > estimate.seconds_left
    assert "would hinder what the command is still writing" in estimate.reason
    grace.save_all()  # the command has ended: it is tried, and says that there is no vault
    assert [event.starts for event in told if isinstance(event, Estimated)] == [False, True]
    assert "not-saved" in [msgspec.json.decode(msgspec.json.encode(event))["event"] for event in told]


class _Cut(BaseException):
    """What a crash is: nothing after it runs."""


def _cut_at(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    """Die at the rename with that number of something in the folder (not of the vault's, nor of small files)."""
    rename, count = Path.rename, [0]

    def counted(path: Path, target: Any) -> Path:
        if threading.current_thread() is threading.main_thread() and path.is_relative_to(folder):
            count[0] += 1
            if count[0] == number:
                raise _Cut
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", counted)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_dying_at_any_rename_of_a_restore_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A torn checkpoint lies where the vault's belongs: the restored one appears, it moves aside, places change."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with own_memory(tmp_path / "state"):
        runs = tmp_path / "runs"
        step = runs / "step_5"
        step.mkdir(parents=True)
        content = _safetensors(5)
        (step / "model.safetensors").write_bytes(content)
        create(str(tmp_path / "vault"))
        place = Place("m", str(runs), vault=str(tmp_path / "vault"))
        written = (step / "model.safetensors").stat().st_mtime_ns
        save(Ask("save", place, checkpoint=Checkpoint("step_5", 5, written, "folder", len(content))), SILENT)
        (step / "model.safetensors").write_bytes(content[:40])
        said: list[Answer] = []
        ask = Ask("begin", place, attempt=Attempt("a", 0))
        with monkeypatch.context() as cut:
            _cut_at(cut, runs, number)
            with pytest.raises(_Cut):
                begin(ask, said.append, SILENT)
        torn = [path for path in runs.rglob("model.safetensors") if path.stat().st_size == 40]
        assert len(torn) == 1
        begun = begin(ask, said.append, SILENT)
        assert begun.chosen is not None
        assert (step / "model.safetensors").read_bytes() == content
        torn = [path for path in runs.rglob("model.safetensors") if path.stat().st_size == 40]
        assert len(torn) == 1
        assert time.time_ns() > begun.chosen.written > 0


def _safetensors(seed: int) -> bytes:
    header = b'{"w":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'
    return len(header).to_bytes(8, "little") + header + Random(seed).randbytes(64)
