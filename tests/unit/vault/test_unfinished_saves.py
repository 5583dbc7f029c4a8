"""Saves that were killed, and what the next one does about what they left."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import DamageError, RefusedError, SourceChangedError, StoreUnreachableError
from holdfast.ids import ChunkId
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.names import PACKS
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.handle import Handle
from holdfast.vault.local_cache import cache_folder
from holdfast.vault.regions.model import BYTES
from holdfast.vault.saving.preparing import prepare_save
from holdfast.vault.saving.unfinished import Marks, SaveMark

DAY = 86_400


class Listings(CountingStore):
    """Counts listings of all packs."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.packs = 0

    def list(self, prefix: str, after: str = ""):  # type: ignore[no-untyped-def]
        self.packs += prefix == PACKS
        return super().list(prefix, after)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(tmp_path: Path, clock: ManualClock) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=False, clock=clock)


@pytest.fixture
def store(trial: TrialVault) -> Listings:
    assert isinstance(trial.store, LocalStore)
    return Listings(trial.store)


@pytest.fixture
def handle(trial: TrialVault, store: Listings) -> Handle:
    return trial.open(store=store).handle


def prepare_and_finish(handle: Handle) -> None:
    with prepare_save(handle, None):
        pass


def put_unlisted_pack(handle: Handle, number: int) -> ChunkId:
    chunk = ChunkId(bytes([number]) * 32)
    builder = PackBuilder(handle.keys, 100)
    builder.add(chunk, b"x", raw=1, codec=0, element=BYTES)
    pack = builder.finish()
    handle.store.put(pack.key, bytes(pack.data))
    return chunk


def test_all_packs_are_listed_once_a_day(handle: Handle, store: Listings, clock: ManualClock) -> None:
    for _ in range(3):
        prepare_and_finish(handle)
    assert store.packs == 1
    chunk = put_unlisted_pack(handle, 1)
    prepare_and_finish(handle)
    assert handle.index.find(chunk) is None
    clock.sleep(DAY)
    prepare_and_finish(handle)
    assert store.packs == 2 and handle.index.find(chunk) is not None
    clock.sleep(-2 * DAY)
    prepare_and_finish(handle)
    assert store.packs == 3, "a clock that went back proves nothing"


def test_a_save_that_did_not_end_is_followed_by_a_search(handle: Handle, store: Listings) -> None:
    prepare_and_finish(handle)
    abandoned = prepare_save(handle, None)
    chunk = put_unlisted_pack(handle, 1)
    prepare_and_finish(handle)
    assert store.packs == 1, "that one may still be under way"
    del abandoned
    prepare_and_finish(handle)
    assert store.packs == 2 and handle.index.find(chunk) is not None
    prepare_and_finish(handle)
    assert store.packs == 2, "it was looked for once"


@pytest.mark.parametrize(
    ("error", "leaves"),
    [
        (StoreUnreachableError("gone"), True),
        (DamageError("bad"), True),
        (KeyboardInterrupt(), True),
        (SourceChangedError("moved"), False),
        (RefusedError("no"), False),
    ],
    ids=repr,
)
def test_what_leaves_packs_without_an_index(handle: Handle, error: BaseException, leaves: bool) -> None:
    marks = Marks(handle.keys.vault, handle.store)
    with pytest.raises(type(error)), prepare_save(handle, None):
        assert marks.unfinished() == []
        raise error
    assert len(marks.unfinished()) == leaves


def save_and_hang(folder: str, cache: str, ready: Event) -> None:
    os.environ["XDG_CACHE_HOME"] = cache
    with Marks(bytes(16), LocalStore(folder)).begin():
        ready.set()
        time.sleep(600)


def test_a_killed_process_lets_go_of_its_mark(tmp_path: Path) -> None:
    context = get_context("spawn")
    ready = context.Event()
    process = context.Process(target=save_and_hang, args=(str(tmp_path), str(tmp_path / "cache"), ready))
    process.start()
    assert ready.wait(60)
    marks = Marks(bytes(16), LocalStore(tmp_path))
    assert marks.unfinished() == []
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    [left] = marks.unfinished()
    marks.remove([left])
    assert marks.unfinished() == []


def test_temporary_files_are_looked_for_once_a_day(trial: TrialVault, clock: ManualClock) -> None:
    handle = trial.open().handle

    def leave(name: str) -> Path:
        path = Path(trial.store.url) / "config" / f"~{name}"
        path.write_bytes(b"half a pack")
        os.utime(path, (0, 0))
        return path

    first = leave("first")
    prepare_and_finish(handle)
    assert not first.exists()
    second = leave("second")
    prepare_and_finish(handle)
    assert second.exists()
    clock.sleep(DAY)
    prepare_and_finish(handle)
    assert not second.exists()
    third = leave("third")
    prepare_save(handle, None)
    prepare_and_finish(handle)
    assert not third.exists(), "a killed save is a reason to look"


def test_a_machine_that_can_note_nothing_always_looks(
    handle: Handle, store: Listings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        prepare_and_finish(handle)
    assert store.packs == 2


def test_a_store_in_memory_needs_no_marks(tmp_path: Path) -> None:
    marks = Marks(bytes(16), MemoryStore())
    with marks.begin():
        assert marks.unfinished() == [] and marks.is_due("anything", 0)
        marks.note("anything", 0)
    assert marks.is_due("anything", 0) and not (tmp_path / "cache").exists()


def test_junk_among_the_notes(trial: TrialVault, clock: ManualClock) -> None:
    marks = Marks(trial.open().handle.keys.vault, trial.store)
    folder = cache_folder(trial.open().handle.keys.vault, trial.store.url)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "searched").write_bytes(b"\xff no number")
    assert marks.is_due("searched", clock.now_ns())
    marks.note("searched", clock.now_ns())
    assert not marks.is_due("searched", clock.now_ns())
    (folder / "saving-link").symlink_to("nowhere")
    assert marks.unfinished() == []
    with SaveMark():
        pass
