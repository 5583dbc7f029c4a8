"""Hooks: what was begun is ended, whoever hangs, fails or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.errors import FailedError, UsageError
from holdfast.training.groups.hooks import Hook, held


def _note(folder: Path, name: str, seconds: float = 20.0, before: str = "", after: str = "") -> Hook:
    """A hook whose sides write a line each; `before` and `after` are more shell."""
    log = folder / "log"
    return Hook(
        name,
        ["sh", "-c", f"echo before-{name} >> {log}; {before or ':'}"],
        ["sh", "-c", f"echo after-{name} >> {log}; {after or ':'}"],
        seconds,
    )


def _log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().split() if path.exists() else []


def _until(what: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_in_order_and_back(tmp_path: Path) -> None:
    with held([_note(tmp_path, "a"), _note(tmp_path, "b")], environment={"X": "1"}) as holding:
        assert _log(tmp_path) == ["before-a", "before-b"]
        holding.require()
    assert _log(tmp_path) == ["before-a", "before-b", "after-b", "after-a"]
    assert [(run.hook, run.side, run.why) for run in holding.runs] == [
        ("a", "before", ""),
        ("b", "before", ""),
        ("b", "after", ""),
        ("a", "after", ""),
    ]


def test_a_cut_that_fails_releases(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held([_note(tmp_path, "a")]):
        _ = 1 / 0
    assert _log(tmp_path) == ["before-a", "after-a"]


def test_a_hook_that_fails_is_released_too_and_later_ones_never_begin(tmp_path: Path) -> None:
    hooks = [
        _note(tmp_path, "a"),
        _note(tmp_path, "b", before="echo no password=hunter2; exit 3"),
        _note(tmp_path, "c"),
    ]
    with pytest.raises(FailedError, match="'b' failed before the cut: exit code 3") as failed, held(hooks):
        raise AssertionError("never held")
    assert "hunter2" not in failed.value.message
    assert _log(tmp_path) == ["before-a", "before-b", "after-b", "after-a"]


def test_a_hook_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hangs = _note(tmp_path, "a", seconds=1.0, before=f"trap '' TERM; sh -c 'echo $$ > {child}; exec sleep 300' & wait")
    began = time.monotonic()
    with pytest.raises(FailedError, match="took too long"), held([hangs]):
        raise AssertionError("never held")
    assert time.monotonic() - began < 30
    assert _log(tmp_path) == ["before-a", "after-a"]
    _until(lambda: not Path(f"/proc/{child.read_text().strip()}").exists())


def test_an_after_that_fails_or_hangs_keeps_no_other_from_running(tmp_path: Path) -> None:
    hooks = [_note(tmp_path, "a"), _note(tmp_path, "b", 1.0, after="sleep 300"), _note(tmp_path, "c", after="exit 4")]
    with held(hooks) as holding:
        pass
    assert _log(tmp_path)[3:] == ["after-c", "after-b", "after-a"]
    why = {run.hook: run.why for run in holding.runs if run.side == "after"}
    assert why["a"] == "" and "exit code 4" in why["c"] and "too long" in why["b"]


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="cannot be started"), held([Hook("x", [str(tmp_path / "no")], None)]):
        pass


def test_a_cut_that_takes_too_long_is_told_and_everything_was_released_in_time(tmp_path: Path) -> None:
    freed = threading.Event()
    hooks = [_note(tmp_path, "a"), Hook("f", lambda: None, freed.set)]
    with pytest.raises(FailedError, match=r"longer than the 0\.5 s"), held(hooks, hold_seconds=0.5) as holding:
        assert freed.wait(20)
        _until(lambda: "after-a" in _log(tmp_path))  # while the cut still hangs
        _until(lambda: len(holding.runs) == 4)
        holding.require()
    assert _log(tmp_path) == ["before-a", "after-a"]


def test_functions(tmp_path: Path) -> None:
    calls: list[str] = []
    with held([Hook("f", lambda: calls.append("before"), lambda: calls.append("after"))]):
        assert calls == ["before"]
    assert calls == ["before", "after"]

    def fails() -> None:
        raise ValueError("token=abcdef")

    with pytest.raises(FailedError, match="ValueError") as failed, held([Hook("f", fails, lambda: calls.append("x"))]):
        pass
    assert calls[-1] == "x" and "abcdef" not in failed.value.message
    stuck = threading.Event()
    hook = Hook("g", stuck.wait, lambda: calls.append("freed"), 0.2)
    with pytest.raises(FailedError, match="cannot be stopped"), held([hook]):
        pass
    stuck.set()
    assert calls[-1] == "freed"


_PROGRAM = """
import sys, time
from pathlib import Path
from holdfast.training.groups.hooks import Hook, held
folder = Path(sys.argv[1])
hook = Hook("a", ["sh", "-c", f"echo before-a >> {folder}/log; " + sys.argv[2]],
            ["sh", "-c", f"echo after-a >> {folder}/log"], 60.0)
with held([hook], hold_seconds=300.0):
    (folder / "held").touch()
    time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["while the hook runs", "while it is held"])
def test_whoever_is_killed_has_released(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    more = "sleep 300" if moment == "while the hook runs" else ":"
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(tmp_path), more], start_new_session=True)
    try:
        _until(lambda: _log(tmp_path) == ["before-a"] and (moment[9] != "i" or (tmp_path / "held").exists()))
        os.killpg(process.pid, number)  # as a scheduler does: the whole group
        process.wait(30)
        _until(lambda: _log(tmp_path) == ["before-a", "after-a"])
    finally:
        process.kill()
        process.wait()


def test_a_guardian_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with pytest.raises(FailedError), held([_note(tmp_path, "a"), _note(tmp_path, "b")]) as holding:
        guardian = holding._guardian
        assert guardian is not None
        guardian._process.kill()
        guardian._process.wait()
        holding.require()
    assert _log(tmp_path) == ["before-a", "before-b", "after-b", "after-a"]
    assert [run.why for run in holding.runs if run.side == "after"] == ["", ""]


@pytest.mark.parametrize(
    "hook",
    [Hook("a", "rm -rf x", None), Hook("a", [], None), Hook("a", ["x"], lambda: None), Hook("a", ["x"], None, 0.0)],
)
def test_hooks_that_make_no_sense(hook: Hook) -> None:
    with pytest.raises(UsageError), held([hook]):
        pass
