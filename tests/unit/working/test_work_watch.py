"""Who is taken for dead: by beats that stand still while the database answers, or by a process that is gone."""

from __future__ import annotations

import os
import subprocess

from holdfast.control.working.beats import Seen, Watch, machine_of, process_of


def _row(name: str, beats: int, *, machine: str = "elsewhere", process: str = "1/1", leaving: bool = False) -> Seen:
    return Seen(name, machine, process, beats, leaving)


def test_who_beats_is_alive_and_who_stands_still_is_not() -> None:
    watch = Watch("me", 10.0)
    assert watch.dead([_row("a", 1), _row("b", 1)], (), 0.0) == []
    assert watch.dead([_row("a", 2), _row("b", 1)], (), 9.0) == []
    assert watch.dead([_row("a", 3), _row("b", 1)], (), 10.5) == ["b"]
    assert watch.dead([_row("a", 3), _row("b", 2)], (), 11.0) == [], "it came back"
    assert watch.dead([_row("a", 3)], (), 20.0) == []
    assert watch.dead([_row("a", 3)], (), 20.6) == ["a"]


def test_oneself_is_never_dead() -> None:
    watch = Watch("me", 10.0)
    assert watch.dead([_row("me", 1)], ("me",), 0.0) == []
    assert watch.dead([_row("me", 1, leaving=True)], ("me",), 100.0) == []


def test_while_the_database_was_silent_nobody_was() -> None:
    watch = Watch("me", 10.0)
    watch.dead([_row("a", 1)], (), 0.0)
    watch.forget()
    assert watch.dead([_row("a", 1)], (), 60.0) == []
    assert watch.dead([_row("a", 1)], (), 70.5) == ["a"]


def test_work_of_somebody_without_a_row_is_taken() -> None:
    watch = Watch("me", 10.0)
    assert watch.dead([], ("lost", "me"), 0.0) == []
    assert watch.dead([], ("lost", "me"), 10.5) == ["lost"]


def test_who_leaves_is_gone_at_once() -> None:
    assert Watch("me", 10.0).dead([_row("a", 1, leaving=True)], (), 0.0) == ["a"]


def test_a_process_of_this_machine_that_is_gone_is_seen_at_once() -> None:
    child = subprocess.Popen(["sleep", "100"])
    process, here = process_of(child.pid), machine_of()
    assert process and here and process_of(os.getpid())
    row = _row("a", 1, machine=here, process=process)
    watch = Watch("me", 10.0)
    assert watch.dead([row], (), 0.0) == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_of(child.pid) == "", "a zombie does nothing any more"
    assert watch.dead([row], (), 0.1) == ["a"]
    child.wait()
    elsewhere = _row("b", 1, machine="another machine", process=process)
    assert Watch("me", 10.0).dead([elsewhere], (), 0.1) == [], "its pids mean nothing here"
    assert Watch("me", 10.0).dead([_row("c", 1, machine=here, process=f"{os.getpid()}/1")], (), 0.1) == ["c"]
