"""Slots of this machine: taken once, run once, ended only if they are ours, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from holdfast.errors import DamageError, FailedError
from holdfast.infra.compute.local import LocalMachines
from holdfast.infra.compute.port import CapacityError, Launch, Pool

POOL = Pool("euw4", "small")
SLEEPS = ("/bin/sh", "-c", 'echo "$HOLDFAST_MACHINE of $HOLDFAST_MACHINES" >> runs; exec sleep 60')


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[LocalMachines]:
    made = LocalMachines(POOL, tmp_path / "state", slots=3, ready=1)
    yield made
    for asset in ("llama", "other"):
        for handle in made.services(asset):
            made.stop(handle, "the end", 0)


def launch(folder: Path, *command: str, asset: str = "llama") -> Launch:
    return Launch(asset=asset, command=command or SLEEPS, folder=str(folder), environment=dict(os.environ))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """A process that has ended may wait for somebody to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_of(machines: LocalMachines, folder: Path) -> list[int]:
    found = []
    for path in sorted((folder / "state/services").glob("*/*.run")):
        found += msgspec.json.decode(path.read_bytes())["pids"]
    return found


def test_what_is_taken_is_taken_once(machines: LocalMachines) -> None:
    assert machines.probe()[:3] == (1, 2, 0)
    assert machines.get(2, "run/get", 1).machines == ("euw4/small/1", "euw4/small/2")
    assert machines.get(2, "run/get", 1) == machines.held("run/get")
    with pytest.raises(CapacityError, match="1 × small at euw4 are needed, and 0 are to be had"):
        machines.get(1, "other/get", 1)
    assert machines.probe()[:3] == (1, 0, 2) and machines.probe().taken_by == ("run/get",)
    machines.give_back("other/get")
    machines.give_back("run/get")
    machines.give_back("run/get")
    assert machines.probe()[:3] == (1, 2, 0) and machines.held("run/get") is None


def test_two_at_once_never_get_the_same(tmp_path: Path) -> None:
    def take(number: int) -> bool:
        try:
            LocalMachines(POOL, tmp_path, slots=5).get(1, f"run-{number}", 1)
        except CapacityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 5
    assert LocalMachines(POOL, tmp_path, slots=5).probe()[:3] == (0, 0, 5)


def test_a_service_runs_once_on_each_machine(machines: LocalMachines, tmp_path: Path) -> None:
    machines.get(2, "get", 1)
    handle = machines.start(launch(tmp_path), 3, "start", held=("get",))
    assert handle.machines == ("euw4/small/0", "euw4/small/1", "euw4/small/2")
    again = LocalMachines(POOL, tmp_path / "state", slots=3, ready=1)  # another control plane
    assert again.start(launch(tmp_path), 3, "start", held=("get",)) == handle
    assert again.find("start") == handle and again.running(handle) == (3, 3, 0, ())
    until(lambda: (tmp_path / "runs").exists() and len((tmp_path / "runs").read_text().splitlines()) == 3)
    assert sorted((tmp_path / "runs").read_text().splitlines()) == ["0 of 3", "1 of 3", "2 of 3"]
    assert again.stop(handle, "stop", 10).stopped_by == "stop"
    assert again.find("start") is None and again.services("llama") == [] and len(again.stopped("stop")) == 1
    assert again.probe()[:3] == (1, 0, 2)  # what was got is given back by whoever got it
    until(lambda: not any(map(alive, pids_of(machines, tmp_path))))


def test_too_few_machines_start_nothing(machines: LocalMachines, tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match="llama starts on 4 × small at euw4, and 3"):
        machines.start(launch(tmp_path), 4, "start")
    assert machines.services("llama") == [] and machines.probe()[:3] == (1, 2, 0)


def test_one_that_ends_is_told_and_started_again(machines: LocalMachines, tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "echo no such data >&2; exit 3")
    handle = machines.start(launch(tmp_path, *command), 1, "start")
    until(lambda: bool(machines.running(handle).problems))
    running = machines.running(handle)
    assert running.problems == ("euw4/small/0 ended with the exit code 3: no such data",)
    assert not running.at_capacity and machines.find("start") is None
    machines.start(launch(tmp_path, *command), 1, "start")
    log = next((tmp_path / "state/services").glob("*/0.log"))
    until(lambda: log.read_text().count("no such data") == 2)


def test_one_that_has_done_its_work_is_not_begun_again(machines: LocalMachines, tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "echo once >> done")
    handle = machines.start(launch(tmp_path, *command), 1, "start")
    until(lambda: machines.running(handle).ended_well == 1)
    assert machines.find("start") == handle
    machines.start(launch(tmp_path, *command), 1, "start")
    until(lambda: machines.running(handle).ended_well == 1)
    assert (tmp_path / "done").read_text() == "once\n"


def test_a_command_that_cannot_be_run_says_so(machines: LocalMachines, tmp_path: Path) -> None:
    handle = machines.start(launch(tmp_path, "no-such-program"), 1, "start")
    until(lambda: bool(machines.running(handle).problems))
    assert "exit code 127: no-such-program cannot be run" in machines.running(handle).problems[0]
    with pytest.raises(FailedError, match="cannot be run in"):
        machines.start(launch(tmp_path / "nowhere"), 1, "other")


def test_one_that_does_not_listen_is_killed(machines: LocalMachines, tmp_path: Path) -> None:
    stubborn = ("/bin/sh", "-c", "trap '' TERM; touch up; sleep 60; sleep 60")
    handle = machines.start(launch(tmp_path, *stubborn), 1, "start")
    until((tmp_path / "up").exists)
    machines.stop(handle, "stop", 0.2)
    assert machines.running(handle).running == 0


def test_a_process_that_is_not_ours_is_left_alone(machines: LocalMachines, tmp_path: Path) -> None:
    """The record names a pid that somebody else has by now: the time of its start tells."""
    handle = machines.start(launch(tmp_path), 1, "start")
    stranger = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    try:
        record = next((tmp_path / "state/services").glob("*/0.run"))
        original = record.read_bytes()
        forged = msgspec.json.decode(original) | {"pids": [stranger.pid, stranger.pid]}
        record.write_bytes(msgspec.json.encode(forged))
        hurried = LocalMachines(POOL, tmp_path / "state", slots=3, ready=1, kill_seconds=0.1)
        with pytest.raises(FailedError, match="goes on although"):
            hurried.stop(handle, "stop", 0)
        assert stranger.poll() is None
        record.write_bytes(original)
        machines.stop(handle, "stop", 5)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("killed", ["supervisor", "group"])
def test_a_killed_one_is_seen(machines: LocalMachines, tmp_path: Path, killed: str) -> None:
    handle = machines.start(launch(tmp_path), 1, "start")
    supervisor, command = pids_of(machines, tmp_path)
    if killed == "group":
        os.killpg(supervisor, signal.SIGKILL)
        until(lambda: machines.running(handle).problems == ("euw4/small/0 was killed",))
        return
    os.kill(supervisor, signal.SIGKILL)
    assert machines.find("start") == handle  # the command itself runs on
    machines.stop(handle, "stop", 5)
    until(lambda: not alive(command))


def test_its_starter_may_be_killed_at_any_moment(machines: LocalMachines, tmp_path: Path) -> None:
    """SIGKILL at moments from before the first write to after the last: then it runs once on each machine, or another
    control plane starts it, once.
    """
    code = (
        "import os, sys\n"
        "from holdfast.infra.compute.local import LocalMachines\n"
        "from holdfast.infra.compute.port import Launch, Pool\n"
        f"pool = LocalMachines(Pool('euw4', 'small'), __import__('pathlib').Path({str(tmp_path / 'state')!r}), 3, 1)\n"
        f"launch = Launch(asset='llama', command={SLEEPS!r}, folder={str(tmp_path)!r}, environment=dict(os.environ))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "pool.start(launch, 3, 'start')\n"
    )
    for delay in (0.0, 0.005, 0.015, 0.03, 0.05):
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(delay)
        process.kill()
        process.communicate()
        handle = machines.start(launch(tmp_path), 3, "start")
        assert machines.running(handle).at_capacity
        until(lambda: len((tmp_path / "runs").read_text().splitlines()) == 3)
        machines.stop(handle, "stop", 5)
        assert machines.running(handle).running == 0 and machines.probe()[:3] == (1, 2, 0)
        (tmp_path / "runs").unlink()


def test_a_state_that_is_garbage_is_told(machines: LocalMachines, tmp_path: Path) -> None:
    machines.get(1, "get", 1)
    (tmp_path / "state/slots.json").write_bytes(b'{"taken": {"x": "y"}}')
    with pytest.raises(DamageError, match="does not say which machines are taken"):
        machines.probe()
