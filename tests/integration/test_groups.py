"""Groups of one process: what is cut is of one moment, or nothing is saved; nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import holdfast
from holdfast.errors import (
    FailedError,
    NotFoundError,
    SourceChangedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.training.circumstances import circumstances_of, gather
from holdfast.training.groups import GroupSaver, Hook, cutting, save_group
from holdfast.vault.vault import Vault


class _World:
    """A vault, and members of four kinds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.staging = folder, folder / "staging"
        self.vault: Vault = holdfast.create(folder / "vault")
        self.model = folder / "model"
        (self.model / "sub").mkdir(parents=True)
        np.save(self.model / "weights.npy", np.random.default_rng(1).normal(size=50_000).astype("f4"))
        (self.model / "sub/empty").touch()
        (self.model / "link").symlink_to("weights.npy")
        (self.model / "weights.npy").chmod(0o640)
        self.config = folder / "config.yaml"
        self.config.write_text("lr: 1")
        self.members: dict[str, cutting.Source] = {
            "model": self.model,
            "config": self.config,
            "data/version": b"md5:1234",
            "vocabulary": lambda to: (to / "vocab.txt").write_text("a b c"),
        }

    def snapshots(self) -> int:
        return len(self.vault.snapshots("release"))

    def is_clean(self) -> bool:
        return not self.staging.exists() or list(self.staging.iterdir()) == []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return _World(tmp_path)


def _dump_hooks(world: _World) -> list[Hook]:
    """A database that is dumped: the `before` writes the dump, the `after` removes it."""
    dump = world.folder / "dump.sql"
    world.members["database"] = dump
    dump.write_text("")  # an asset that lies somewhere
    return [
        Hook("database", ["sh", "-c", f'echo "dump of $HOLDFAST_GROUP at $HOLDFAST_STEP" > {dump}'], ["rm", str(dump)])
    ]


def test_all_members_are_in_one_snapshot(world: _World) -> None:
    hooks = _dump_hooks(world)
    circumstances = gather(7, datasets={"train": {"name": "corpus", "version": "v3"}}, code=world.folder)
    done = save_group(
        world.vault, "release", world.members, hooks=hooks, staging=world.staging, circumstances=circumstances, step=7
    )
    assert done.unreleased == [] and done.report.validated and world.is_clean()
    assert not (world.folder / "dump.sql").exists()
    back = world.folder / "back"
    world.vault.restore("release@step=7", back)
    assert (back / "model/weights.npy").read_bytes() == (world.model / "weights.npy").read_bytes()
    assert (back / "model/weights.npy").stat().st_mode & 0o777 == 0o640
    assert (back / "model/weights.npy").stat().st_mtime_ns == (world.model / "weights.npy").stat().st_mtime_ns
    assert (back / "model/link").readlink() == Path("weights.npy") and (back / "model/sub/empty").exists()
    assert (back / "config/config.yaml").read_text() == "lr: 1"
    assert (back / "data/version/version").read_bytes() == b"md5:1234"
    assert (back / "vocabulary/vocab.txt").read_text() == "a b c"
    assert (back / "database/dump.sql").read_text() == "dump of release at 7\n"
    assert json.loads((back / "group.json").read_text())["members"]["model"]["files"] == 2
    stored = circumstances_of(world.vault, done.report.root)
    assert stored is not None and stored.datasets["train"].version == "v3"
    assert done.report.root.versions["dataset train"] == "stated v3"
    assert done.report.root.meta["group"] == "config, data/version, database, model, vocabulary"


def test_a_second_save_stores_what_changed(world: _World) -> None:
    first = save_group(world.vault, "release", world.members, staging=world.staging)
    world.config.write_text("lr: 2")
    second = save_group(world.vault, "release", world.members, staging=world.staging)
    stored = [report.root.stats.get("stored", 0) for report in (first.report, second.report)]
    assert second.report.root.parents == [first.report.root.id] and stored[1] < stored[0] / 5


def test_a_member_that_changes_while_it_is_cut(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cutting._copy

    def copy(source: Path, target: Path) -> bool:
        done = real(source, target)
        if source.name == "weights.npy":
            with source.open("r+b") as file:  # a trainer that did not wait
                file.seek(1000)
                file.write(os.urandom(8))
        return done

    monkeypatch.setattr(cutting, "_copy", copy)
    with pytest.raises(SourceChangedError, match=r"model.*weights\.npy"):
        save_group(world.vault, "release", world.members, staging=world.staging)
    assert world.snapshots() == 0 and world.is_clean()


@pytest.mark.parametrize("what", ["before", "after", "member", "hold"])
def test_whatever_fails_nothing_is_committed_that_was_not_held(world: _World, what: str) -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError(what)

    def slow(to: Path) -> None:
        time.sleep(0.6)
        (to / "x").write_text("x")

    hook = Hook("h", fail if what == "before" else lambda: None, fail if what == "after" else lambda: done.append("a"))
    first = Hook("first", lambda: None, lambda: done.append("first"))
    if what == "member":
        world.members["bad"] = lambda to: fail()
    if what == "hold":
        world.members["slow"] = slow
    arguments = {"hooks": [first, hook], "staging": world.staging, "hold_seconds": 0.2 if what == "hold" else 60.0}
    if what == "after":
        saved = save_group(world.vault, "release", world.members, **arguments)
        assert [run.hook for run in saved.unreleased] == ["h"] and world.snapshots() == 1
    else:
        with pytest.raises(FailedError):
            save_group(world.vault, "release", world.members, **arguments)
        assert world.snapshots() == 0
    assert "first" in done and world.is_clean()


def test_members_and_calls_that_make_no_sense(world: _World) -> None:
    for members, error in (
        ({}, UsageError),
        ({"../x": world.config}, UsageError),
        ({"/x": world.config}, UsageError),
        ({"a": world.config, "a/b": world.config}, UsageError),
        ({"group.json": world.config}, UsageError),
        ({"a": world.folder / "nothing"}, NotFoundError),
    ):
        with pytest.raises(error):
            save_group(world.vault, "release", members, staging=world.staging)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        save_group(world.vault, "release", world.members, staging=world.staging, metadata={"group": "x"})
    assert world.snapshots() == 0 and world.is_clean()


def test_a_disk_without_room_is_noticed_before_any_hook_runs(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(cutting, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(StorageFullError):
        save_group(
            world.vault, "release", world.members, hooks=[Hook("h", lambda: ran.append("h"))], staging=world.staging
        )
    assert ran == [] and world.is_clean()


_PROGRAM = """
import sys, time
from pathlib import Path
import holdfast
from holdfast.training.groups import Hook, save_group
folder = Path(sys.argv[1])
def slow(to):
    (to / "half").write_text("half")
    (folder / "cutting").touch()
    time.sleep(300)
save_group(holdfast.open(folder / "vault"), "release", {"model": folder / "model", "slow": slow},
           hooks=[Hook("db", ["touch", str(folder / "frozen")], ["rm", str(folder / "frozen")])],
           staging=folder / "staging", hold_seconds=600.0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_in_mid_cut_releases_and_leaves_no_snapshot(world: _World, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(world.folder)], start_new_session=True)
    try:
        _until(lambda: (world.folder / "cutting").exists())
        assert (world.folder / "frozen").exists()
        os.killpg(process.pid, number)
        process.wait(30)
        _until(lambda: not (world.folder / "frozen").exists())
    finally:
        process.kill()
        process.wait()
    assert world.snapshots() == 0 and not world.is_clean()
    save_group(world.vault, "release", {"model": world.model}, staging=world.staging)
    assert world.snapshots() == 1 and world.is_clean()  # the next one removed what was left


def _until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_in_a_loop_trouble_is_told_and_training_goes_on(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    saver = GroupSaver(world.vault, "release", world.members, staging=world.staging, on_trouble=told.append)
    assert saver.exposure.last_durable_step is None
    assert saver.save(1).state == "committing" and saver.wait(60)
    assert saver.exposure.last_durable_step == 1

    def down(*_: object, **__: object) -> None:
        raise StoreUnreachableError("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.vault, "save", down)
        saver.save(2)
        saver.wait(60)
    world.members["gone"] = world.folder / "gone"
    broken = GroupSaver(world.vault, "release", world.members, staging=world.staging, on_trouble=told.append)
    assert broken.save(3).state == "failed"
    assert [one.state for one in saver.outcomes] == ["committing", "committed", "committing", "failed"]
    assert saver.exposure.last_durable_step == 1 and saver.exposure.not_saved == 1
    assert "step 2 of release was not saved: the store does not answer" in told[0] and "gone" in told[1]
    assert world.snapshots() == 1 and world.is_clean()


def test_one_at_a_time(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), world.vault.save

    def slow(*arguments: object, **options: object) -> object:
        go.wait(60)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(world.vault, "save", slow)
    saver = GroupSaver(world.vault, "release", world.members, staging=world.staging, on_trouble=lambda text: None)
    assert saver.save(1).state == "committing"
    assert saver.save(2).state == "skipped" and not saver.wait(0.0)
    go.set()
    assert saver.wait(60) and saver.exposure.last_durable_step == 1


def test_a_warning_is_the_default(world: _World) -> None:
    saver = GroupSaver(world.vault, "release", {"x": world.folder / "nothing"}, staging=world.staging)
    with pytest.warns(RuntimeWarning, match="step 1 of release was not saved"):
        saver.save(1)
