"""Where starts go on from: snapshots that others saved, clocks that are behind, counting anew; workers side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import HoldfastError, StorageFullError, StoreUnreachableError
from holdfast.events import SILENT
from holdfast.testing.workspace import own_memory
from holdfast.training.executing.asks import Answer, Ask, MovedAside, Place, Skipped
from holdfast.training.executing.attempts import Attempt, skipped_spans
from holdfast.training.executing.attending import Attendance
from holdfast.training.executing.beginning import begin
from holdfast.training.executing.commands.bell import Bell
from holdfast.training.executing.hanging import Silence
from holdfast.training.executing.saves import Workers
from holdfast.training.executing.settings import Settings
from holdfast.training.executing.speeds import Speed
from holdfast.vault.vault import Vault


def _safetensors(seed: int) -> bytes:
    header = b'{"w":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'
    return len(header).to_bytes(8, "little") + header + Random(seed).randbytes(64)


@pytest.mark.parametrize("nodes", ["one", "many"])
def test_a_snapshot_that_something_else_saved_is_restored_once_and_its_loop_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: str
) -> None:
    """Its folder is newer than its files, so that the snapshot is newer than what a restore of it looks like."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    source = tmp_path / "source/step_5"
    source.mkdir(parents=True)
    (source / "model.safetensors").write_bytes(_safetensors(5))
    then = time.time() - 3600
    os.utime(source / "model.safetensors", (then, then))
    said: list[Answer] = []
    with own_memory(tmp_path / "state"):
        create(str(tmp_path / "vault"))
        open_at(str(tmp_path / "vault"), options={}, progress=SILENT).save(
            "m", source, step=5, metadata={"checkpoint": "step_5"}
        )
        begun = []
        for number in range(4):
            runs = tmp_path / (f"runs-{number}" if nodes == "many" else "runs")
            runs.mkdir(exist_ok=True)
            ask = Ask(
                "begin", Place("m", str(runs), vault=str(tmp_path / "vault")), attempt=Attempt(f"{number:016x}", 0)
            )
            begun.append(begin(ask, said.append, SILENT))
    assert [one.stuck for one in begun] == [0, 1, 2, 3]
    assert begun[-1].verdict == "give-up"
    assert not any(isinstance(one, MovedAside) for one in said)
    assert [one.restored for one in begun[:3]] == [True, nodes == "many", nodes == "many"]


def test_what_led_into_a_loop_stays_out_though_a_clock_is_behind_until_one_counts_anew() -> None:
    fell = Attempt("1", 100, fell_back=True, span_from=500, span_step=5)
    [span] = skipped_spans([fell])
    assert span.begin <= 500 < span.end
    assert skipped_spans([fell, Attempt("2", 200, anew=True)]) == []


def test_workers_side_by_side_are_all_known(tmp_path: Path) -> None:
    """A save goes on while the next start begins: what ends a command's family must not take it for a rank."""
    workers = Workers(Place("m", str(tmp_path)), lambda _: None, Speed(None))
    both: list[Any] = [subprocess.Popen(["sleep", "30"], start_new_session=True) for _ in range(2)]
    workers._processes.update(both)
    with workers.none_begins() as besides:
        assert sorted(besides) == sorted(one.pid for one in both)
    workers.abandon("the test ends")
    assert [one.wait(10) for one in both] == [-9, -9]


def test_a_log_that_is_full_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    script = (
        "import sys\n"
        "from holdfast.cli.output import Output\n"
        "from holdfast.cli.views.train_exec import ExecTeller\n"
        "from holdfast.training.executing.events import Noted\n"
        "teller = ExecTeller(Output(json=sys.argv[1] == 'json', quiet=False), None)\n"
        "teller(Noted(message='a')); teller(Noted(message='b', warning=True)); print('[1]')\n"
    )
    for how in ("json", "words"):
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run([sys.executable, "-c", script, how], stdout=subprocess.PIPE, stderr=full, check=False)
        assert ran.returncode == 0
        assert json.loads(ran.stdout) == [1]


class _Deaf:
    """A command that hears nothing."""

    pid = 0

    def send(self, number: int) -> None:
        pass


def test_who_is_told_to_end_while_a_hang_is_ended_does_not_start_again(tmp_path: Path) -> None:
    place = Place("m", str(tmp_path))
    tell: Any = lambda _: None  # noqa: E731
    grace: Any = lambda _: None  # noqa: E731
    command: Any = _Deaf()
    settings = Settings(["sleep"], tmp_path, place, hang_after=1.0, restart_hung=True)
    attendance = Attendance(
        settings,
        command,
        Bell(),
        Workers(place, tell, Speed(None)),
        Silence(1.0),
        tell,
        error_file=tmp_path / "none",
        grace=grace,
    )
    attendance._note_silence()
    attendance._hear(signal.SIGTERM)
    outcome = attendance._outcome(signal.SIGKILL)
    assert outcome.asked == signal.SIGTERM
    assert outcome.end.kind == "HANG"


@pytest.mark.parametrize("error", [StoreUnreachableError("silent"), StorageFullError("full")])
def test_a_store_that_falls_silent_in_mid_restore_leaves_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: HoldfastError
) -> None:
    """An older complete checkpoint in the folder is better than no training; with none there, it is not begun anew."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(place: Path, seed: int, age: float) -> None:
        place.mkdir(parents=True)
        (place / "model.safetensors").write_bytes(_safetensors(seed))
        (place / "trainer_state.json").write_text("{}")
        for one in (*place.iterdir(), place):
            os.utime(one, (time.time() - age, time.time() - age))

    def fails(*arguments: object, **more: object) -> None:
        raise error

    write(tmp_path / "source/checkpoint-9", 9, 60)
    runs = tmp_path / "runs"
    said: list[Answer] = []
    with own_memory(tmp_path / "state"):
        create(str(tmp_path / "vault"))
        vault = open_at(str(tmp_path / "vault"), options={}, progress=SILENT)
        vault.save("m", tmp_path / "source/checkpoint-9", step=9, metadata={"checkpoint": "checkpoint-9"})
        monkeypatch.setattr(Vault, "restore", fails)
        runs.mkdir()
        ask = Ask("begin", Place("m", str(runs), vault=str(tmp_path / "vault")), attempt=Attempt("0" * 16, 0))
        with pytest.raises(type(error)):
            begin(ask, said.append, SILENT)
        write(runs / "checkpoint-5", 5, 3600)
        begun = begin(ask, said.append, SILENT)
    assert begun.chosen is not None and begun.chosen.step == 5
    assert any(isinstance(one, Skipped) and one.reason == error.message for one in said)
