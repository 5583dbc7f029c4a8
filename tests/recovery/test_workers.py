"""Work that outlives its process: real workers are killed, and others go on; effects are counted outside."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.recovery.worker_worlds import STEPS, Worker, World, eventually, workers

from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.workflows import Phase, Workflows, open_workflows, run_key, submit_run
from holdfast.recovery.journal.entries import Deed
from holdfast.testing.postgres import PostgresServer

EACH_ONCE = Counter(dict.fromkeys(STEPS, 1))
_OUTAGE_S = float(os.environ.get("HOLDFAST_OUTAGE_S", "4"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """In a folder of its own: every run of pytest takes its folder away from other users, such as PostgreSQL's, which
    is started again here.
    """
    with TemporaryDirectory(prefix="holdfast-") as folder, PostgresServer(Path(folder) / "postgres") as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    monkeypatch.delenv("HOLDFAST_WORK_DB", raising=False)
    return World(tmp_path, dict(os.environ))


@pytest.fixture
def on_postgres(world: World, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in {**postgres.environment, "HOLDFAST_WORK_DB": postgres.new_database()}.items():
        monkeypatch.setenv(name, value)
        world.environment[name] = value
    return world


def _state(queue: Workflows, key: str) -> Phase:
    found = queue.look(key)
    assert found is not None
    return found.state


def _owner(queue: Workflows, team: list[Worker], key: str) -> Worker:
    """Whose process has the work."""
    found = queue.look(key)
    assert found is not None
    (pid,) = [one.pid for one in queue.workers() if one.name == found.worker]
    return next(one for one in team if one.process.pid == pid)


def _until_acted(world: World, queue: Workflows, key: str, number: int) -> None:
    """So many steps of the runbook have acted, and the work has not ended for another reason."""

    def acted() -> bool:
        if len(world.acted()) >= number:
            return True
        found = queue.look(key)
        assert found is not None and found.error is None, found
        return False

    eventually(acted)


def _require_passed(world: World, queue: Workflows, run: str, key: str) -> None:
    eventually(lambda: _state(queue, key) not in (Phase.QUEUED, Phase.RUNNING), str(queue.look(key)))
    found = queue.look(key)
    assert found is not None and found.state is Phase.DONE, found
    assert found.outcome["verdict"] == "PASSED"
    assert world.acted() == EACH_ONCE
    status = Recoveries(world.sites()).status(run)
    assert status.state.verdict == "PASSED" and not status.state.ignored
    ended = Counter(entry.step for entry in status.entries if entry.deed is Deed.DONE)
    assert ended == Counter({step.id: 1 for step in status.plan.steps})


def test_a_run_moves_on_when_its_worker_is_killed(on_postgres: World) -> None:
    """PostgreSQL, three workers; the one that has the run is killed twice, inside a step."""
    world = on_postgres
    run = world.planned().run
    with closing(open_workflows(world.sites())) as queue, workers(world, 3, "--no-schedules") as team:
        key = submit_run(queue, run, asset="llama", target=str(world.folder / "back"), by="ann").key
        for number in (2, 4):
            _until_acted(world, queue, key, number)
            _owner(queue, team, key).kill()
            killed = time.monotonic()
            eventually(lambda n=number: (queue.look(key) or pytest.fail()).attempt >= n // 2 + 1)  # type: ignore[misc]
            print(f"taken over after {time.monotonic() - killed:.1f} s")
        _require_passed(world, queue, run, key)
        (left,) = [one for one in team if one.process.poll() is None]
        assert (world.folder / "back").is_dir()
        found = queue.look(key)
        assert found is not None and found.attempt == 3 and found.by == "ann"
        assert [one.work for one in left.said("done")] == [key]
        assert left.end() == 0


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_postgres_is_gone_for_a_while(on_postgres: World, postgres: PostgresServer) -> None:
    """The run goes on without it, workers say so, and what came of it is written down when it is back."""
    world = on_postgres
    run = world.planned().run
    with closing(open_workflows(world.sites())) as queue, workers(world, 2, "--no-schedules") as team:
        key = submit_run(queue, run, asset="llama", target=str(world.folder / "back")).key
        _until_acted(world, queue, key, 1)
        postgres.stop()
        stopped = time.monotonic()
        try:
            eventually(lambda: all(one.said("waiting") for one in team))
            eventually(lambda: world.acted() == EACH_ONCE)
            while time.monotonic() - stopped < _OUTAGE_S:
                time.sleep(0.1)
        finally:
            postgres.start()
        _require_passed(world, queue, run, key)
        eventually(lambda: all(one.said("answering") for one in team))
        assert not [one for member in team for one in member.said("took-over")]
        later = queue.submit("catalog.update", {}, key="after")
        eventually(lambda: _state(queue, later.key) is Phase.DONE, str(queue.look("after")))
        assert [one.end() for one in team] == [0, 0]


def test_one_key_is_one_piece_of_work(on_postgres: World) -> None:
    """Submitted sixteen times at once, with three workers after it."""
    world = on_postgres
    with workers(world, 3, "--no-schedules") as team, closing(open_workflows(world.sites())) as queue:
        with ThreadPoolExecutor(16) as pool:
            states = list(pool.map(lambda _: queue.submit("catalog.update", {}, key="race"), range(16)))
        assert {one.key for one in states} == {"race"}
        eventually(lambda: _state(queue, "race") is Phase.DONE, str(queue.look("race")))
        assert len(queue.list()) == 1
        assert sum(len(one.said("taken")) for one in team) == 1


def test_a_worker_is_killed_and_started_again(world: World) -> None:
    """SQLite, one worker; then the queue itself is lost, too: the journal has what was done."""
    run = world.planned().run
    target = str(world.folder / "back")
    queue = open_workflows(world.sites())
    with workers(world, 1, "--no-schedules") as (first,):
        key = submit_run(queue, run, asset="llama", target=target).key
        _until_acted(world, queue, key, 2)
        first.kill()
    with workers(world, 1, "--no-schedules") as (second,):
        _until_acted(world, queue, key, 4)
        assert [one.work for one in second.said("took-over")] == [key]
        second.kill()
    queue.close()
    for file in (Path(os.environ["XDG_STATE_HOME"]) / "holdfast" / "work").iterdir():
        file.unlink()
    with closing(open_workflows(world.sites())) as queue, workers(world, 1, "--no-schedules") as (third,):
        assert queue.look(key) is None
        assert submit_run(queue, run, asset="llama", target=target).key == key == run_key(run)
        _require_passed(world, queue, run, key)
        assert "goes on with the run" in " ".join(one.text for one in third.said("note"))
        again = submit_run(queue, run, asset="llama", target=target)
        assert again.state is Phase.DONE, "the same work"
        assert third.end() == 0 and third.said("stopped")


def test_a_worker_that_is_told_to_end(world: World) -> None:
    """It finishes what ends in time, and leaves the rest to others."""
    run = world.planned().run
    with closing(open_workflows(world.sites())) as queue:
        with workers(world, 1, "--no-schedules", "--grace", "0s") as (first,):
            key = submit_run(queue, run, asset="llama", target=str(world.folder / "back")).key
            _until_acted(world, queue, key, 1)
            assert first.end() == 0
            assert [one.work for one in first.said("handed-over")] == [key]
            assert _state(queue, key) is Phase.RUNNING, "nobody has it, and nobody has ended it"
        with workers(world, 1, "--no-schedules", "--grace", "60s") as (second,):
            eventually(lambda: bool(second.said("taken")))
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(90) == 0
            assert [one.work for one in second.said("done")] == [key] and not second.said("handed-over")
        _require_passed(world, queue, run, key)
        assert queue.workers() == []


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_worker_that_was_frozen_changes_nothing_more(world: World) -> None:
    """It is taken for dead while it stands still, and wakes up when another one has its run: the journal decides."""
    run = world.planned().run
    with closing(open_workflows(world.sites())) as queue, workers(world, 2, "--no-schedules") as team:
        key = submit_run(queue, run, asset="llama", target=str(world.folder / "back")).key
        _until_acted(world, queue, key, 2)
        frozen = _owner(queue, team, key)
        frozen.process.send_signal(signal.SIGSTOP)
        eventually(lambda: (queue.look(key) or pytest.fail()).attempt == 2)
        _until_acted(world, queue, key, 4)
        frozen.process.send_signal(signal.SIGCONT)
        _require_passed(world, queue, run, key)
        eventually(lambda: bool(frozen.said("cancelled") or frozen.said("failed")))
        assert not frozen.said("done")
        assert _state(queue, key) is Phase.DONE
        assert [one.end() for one in team] == [0, 0]


def test_a_run_that_nobody_approved(world: World) -> None:
    """It fails with the words of the review, and is not tried again; approved, it is submitted anew."""
    file = world.planned(approved=False)
    with closing(open_workflows(world.sites())) as queue:
        first = submit_run(queue, file.run, asset="llama", target=str(world.folder / "back"))
        with workers(world, 1, "--no-schedules") as (one,):
            eventually(lambda: _state(queue, first.key) is Phase.FAILED, str(queue.look(first.key)))
            found = queue.look(first.key)
            assert found is not None and found.error is not None and found.attempt == 1
            assert found.error.code == "permission-denied", "the policy says no before the review is asked"
            assert "needs the approval of somebody other than its initiator" in found.error.message, found.error
            assert not one.said("again") and not world.acted()
            world.approve(file)
            second = submit_run(queue, file.run, asset="llama", target=str(world.folder / "back"))
            assert second.key == run_key(file.run, 1) != first.key
            _require_passed(world, queue, file.run, second.key)
            assert one.end() == 0
