"""Roots that this machine has read: listed from memory, judged anew, and never used in place of the store's."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import CredentialError, DamageError, UntrustedError
from holdfast.ids import SnapshotId
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import ObjectInfo
from holdfast.testing.counting import CountingStore
from holdfast.testing.damage import ended_otherwise
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.local_cache import cache_folder
from holdfast.vault.snapshots import known
from holdfast.vault.snapshots.finding import Listed
from holdfast.vault.snapshots.known_roots import newest_known_key, remember_root
from holdfast.vault.snapshots.roots import list_newest, list_roots

Save = Callable[..., Root]


@pytest.fixture
def kept(tmp_path: Path, clock: ManualClock) -> TrialVault:
    """An encrypted vault in a folder; `own_state` gives it a memory."""
    return new_trial_vault(LocalStore(tmp_path / "vault"), clock=clock)


@pytest.fixture
def save(kept: TrialVault, tmp_path: Path, clock: ManualClock) -> Save:
    def save(asset: str = "llama", *, trial: TrialVault = kept, **options: object) -> Root:
        clock.sleep(60)
        source = tmp_path / "state"
        source.write_text(str(clock.now_ns()))
        os.utime(source, ns=(0, clock.now_ns()))
        return trial.open().save(asset, source, **options).root  # type: ignore[arg-type] # options of `save`

    return save


def fresh(kept: TrialVault) -> CountingStore:
    """The same store, as another process would open it."""
    return CountingStore(LocalStore(kept.store.url))


def listing(kept: TrialVault, asset: str | None = None, **options: object) -> tuple[list[Listed], int]:
    """What is listed, and how many objects were read for it."""
    store = fresh(kept)
    handle = kept.open(store=store, **options).handle  # type: ignore[arg-type] # options of `open`
    store.reset()
    return list_roots(handle, asset), store.counts.get("get", 0)


def database(kept: TrialVault) -> Path:
    return cache_folder(bytes.fromhex(kept.open().id), kept.store.url) / "snapshots.sqlite"


def rows(kept: TrialVault, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database(kept))
    try:
        found = connection.execute(query).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


def key_of(kept: TrialVault, root: Root) -> str:
    return kept.open().handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))


def path_of(kept: TrialVault, root: Root) -> Path:
    return Path(kept.store.url) / key_of(kept, root)


def forget_all(kept: TrialVault) -> None:
    rows(kept, "DELETE FROM roots")


def test_what_was_read_once_is_not_read_again(kept: TrialVault, save: Save) -> None:
    roots = [save(), save(), save("other")]
    forget_all(kept)
    first, read = listing(kept)
    assert [one.root for one in first] == roots
    assert read == 3
    assert listing(kept) == (first, 0)
    assert [one.root for one in listing(kept, "llama")[0]] == roots[:2]
    roots.append(save())
    forget_all(kept)
    assert listing(kept, "other") == ([Listed(key_of(kept, roots[2]), roots[2], None)], 1)
    again, read = listing(kept)
    assert [one.root for one in again] == roots
    assert read == 3
    assert os.stat(database(kept)).st_mode & 0o777 == 0o600


def test_a_root_that_was_written_here_is_known(kept: TrialVault, save: Save) -> None:
    root = save()
    forget_all(kept)
    handle = kept.open().handle
    remember_root(handle, key_of(kept, root), root)
    assert listing(kept) == ([Listed(key_of(kept, root), root, None)], 0)
    assert newest_known_key(handle, SNAPSHOTS) == key_of(kept, root)
    kept.store.delete(key_of(kept, root))
    remember_root(handle, key_of(kept, root), root)
    assert listing(kept) == ([], 0)


def test_what_vanished_is_forgotten(kept: TrialVault, save: Save) -> None:
    roots = [save(), save(), save("other")]
    listing(kept)
    kept.store.delete(key_of(kept, roots[0]))
    assert [one.root for one in listing(kept, "llama")[0]] == roots[1:2]
    assert rows(kept, "SELECT count(*) FROM roots") == [(2,)]
    kept.store.delete(key_of(kept, roots[2]))
    assert [one.root for one in listing(kept)[0]] == roots[1:2]
    assert rows(kept, "SELECT key FROM roots") == [(key_of(kept, roots[1]),)]


def test_a_root_that_was_changed_is_read_and_damage_is_never_kept(kept: TrialVault, save: Save) -> None:
    good, bad = save(), save()
    listing(kept)
    path = path_of(kept, bad)
    path.write_bytes(ended_otherwise(path.read_bytes()))
    for _ in range(2):
        listed, read = listing(kept)
        assert listed[0].root == good
        assert isinstance(listed[1].error, DamageError)
        assert read == 1


@pytest.mark.parametrize("when_ns", [1 << 63, (1 << 63) - 1])
def test_a_root_of_a_time_that_cannot_be_noted_is_read_each_time(kept: TrialVault, save: Save, when_ns: int) -> None:
    class Dated(CountingStore):
        """A server with a clock that is wrong."""

        def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
            return (info._replace(modified_ns=when_ns) for info in super().list(prefix, after))

        def head(self, key: str) -> ObjectInfo:
            return super().head(key)._replace(modified_ns=when_ns)

    root = save()
    forget_all(kept)
    for attempt in range(2):
        store = Dated(LocalStore(kept.store.url))
        handle = kept.open(store=store).handle
        store.reset()
        assert [one.root for one in list_roots(handle)] == [root]
        assert store.counts.get("get", 0) == (attempt == 0 or when_ns >= 1 << 63)
    remember_root(handle, key_of(kept, root), root)
    assert rows(kept, "SELECT modified_ns FROM roots") == ([] if when_ns >= 1 << 63 else [(when_ns,)])


def test_a_process_that_was_forked_while_a_memory_was_opened(kept: TrialVault, save: Save) -> None:
    root = save()
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with known._Opening.lock:
            holding.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(60)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if [one.root for one in list_roots(kept.open(store=fresh(kept)).handle)] == [root] else 1)
        finally:
            os._exit(2)
    try:
        assert ended(child) == 0
    finally:
        done.set()
        holder.join()


def ended(child: int, within_s: float = 30) -> int | None:
    """The exit status of a forked process; None if it hangs, and is killed."""
    for _ in range(int(within_s / 0.02)):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def test_who_signed_is_judged_anew(kept: TrialVault, save: Save, clock: ManualClock) -> None:
    mine = save()
    thief = admit_writer(kept.open().handle, "thief")
    theirs = save(trial=TrialVault(kept.store, thief, clock))
    listed, _ = listing(kept)
    assert [one.root for one in listed] == [mine, theirs]
    assert [one.root.writer for one in listed if one.root] == ["keeper", "thief"]
    revoke_signer(kept.open().handle, "thief")  # at the very time of that save
    listed, read = listing(kept)
    assert read == 0
    assert listed[0].root == mine
    assert isinstance(listed[1].error, UntrustedError)


def test_a_key_that_does_not_open_them_is_given_none(kept: TrialVault, save: Save) -> None:
    root = save()
    reader = admit_reader(kept.open().handle, "auditor")
    assert [one.root for one in listing(kept, credential=reader)[0]] == [root]
    rows(kept, "UPDATE roots SET epoch = 7")
    assert (
        listing(kept, credential=reader)[1] == 1
    )  # sealed, it seems, to an epoch that this key lacks: the store tells
    writer = admit_writer(kept.open().handle, "writer")
    with pytest.raises(CredentialError):
        listing(kept, credential=writer)


def test_nothing_is_kept_by_one_who_may_not_read(
    kept: TrialVault, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    writer = admit_writer(kept.open().handle, "writer")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    root = save(trial=TrialVault(LocalStore(kept.store.url), writer, clock))
    remember_root(kept.open(writer, store=fresh(kept)).handle, key_of(kept, root), root)
    assert not database(kept).exists() or rows(kept, "SELECT * FROM roots") == []


@pytest.mark.parametrize("spoilt", [b"", b"junk", msgspec.msgpack.encode({"id": "x"})])
def test_a_memory_that_is_spoilt_is_read_anew(kept: TrialVault, save: Save, spoilt: bytes) -> None:
    root = save()
    listing(kept)
    rows(kept, f"UPDATE roots SET record = x'{spoilt.hex()}'")
    assert listing(kept) == ([Listed(key_of(kept, root), root, None)], 1)
    assert listing(kept)[1] == 0


def test_what_is_used_is_read_from_the_store(kept: TrialVault, save: Save) -> None:
    """By size and time the newest root is as it was; whoever uses it sees that it is not."""
    older, newest = save(step=1), save(step=1)
    listing(kept)
    path = path_of(kept, newest)
    info = path.stat()
    path.write_bytes(ended_otherwise(path.read_bytes()))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert [one.root for one in listing(kept)[0]] == [older, newest]
    notes = NoteTaker()
    assert kept.open(store=fresh(kept), progress=notes).find("llama@step=1") == older
    assert any(key_of(kept, newest) in note for note in notes.notes)
    with pytest.raises(DamageError):
        kept.open(store=fresh(kept)).find(newest.id)
    assert [damage.object for damage in kept.open(store=fresh(kept)).check().damages] == [key_of(kept, newest)]
    path_of(kept, older).write_bytes(b"junk")
    with pytest.raises(DamageError):
        kept.open(store=fresh(kept)).find("llama@step=1")


def test_a_pointer_is_not_moved_to_a_root_that_only_memory_holds(kept: TrialVault, save: Save) -> None:
    """Dropping the newest snapshot moves `latest` to one that can be read."""
    sound, hurt, newest = save(verify=False), save(verify=False), save(verify=False)
    listing(kept)
    path = path_of(kept, hurt)
    info = path.stat()
    path.write_bytes(bytes(info.st_size))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    vault = kept.open(store=fresh(kept))
    assert vault.plan_drop(newest.id).moves == {"latest": sound.id}


def test_only_the_newest_are_read(kept: TrialVault, save: Save) -> None:
    roots = [save("ab"[number % 2]) for number in range(6)]
    forget_all(kept)
    store = fresh(kept)
    handle = kept.open(store=store).handle
    store.reset()
    listed, older = list_newest(handle, None, 2)
    assert ([one.root for one in listed], older) == (roots[4:], 4)
    assert store.counts["get"] == 2
    assert list_newest(handle, "a", 2).older == 1
    assert list_newest(handle, None, 6).older == list_newest(handle, None, 100).older == 0
    assert rows(kept, "SELECT count(*) FROM roots") == [(6,)]


def test_a_machine_that_keeps_nothing_reads_everything(
    kept: TrialVault, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [save(), save()]
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        listed, read = listing(kept)
        assert [one.root for one in listed] == roots
        assert read == 2
    assert kept.open(store=fresh(kept)).find("llama") == roots[-1]


def test_a_store_that_cannot_be_referred_to_weakly_is_read_each_time(kept: TrialVault, save: Save) -> None:
    class Slotted(CountingStore):
        __hash__ = None  # type: ignore[assignment] # like a dataclass that compares its fields

    root = save()
    for _ in range(2):
        store = Slotted(LocalStore(kept.store.url))
        handle = kept.open(store=store).handle
        store.reset()
        assert [one.root for one in list_roots(handle)] == [root]
        assert store.counts["get"] == 1


def test_a_process_without_a_home_keeps_nothing(kept: TrialVault, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    root = save()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "~nobody-of-that-name")
    assert listing(kept) == ([Listed(key_of(kept, root), root, None)], 1)


def test_a_database_that_is_damaged_is_begun_afresh(kept: TrialVault, save: Save) -> None:
    roots = [save() for _ in range(12)]
    listing(kept)
    path = database(kept)
    rows(kept, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    assert len(content) > 8192
    path.write_bytes(content[:4096] + b"damaged " * ((len(content) - 4096) // 8))
    for read in (12, 12, 0):  # the first one loses its memory to the damage, the second one keeps a new one
        assert listing(kept) == ([Listed(key_of(kept, root), root, None) for root in roots], read)
    assert kept.open(store=fresh(kept)).find("llama") == roots[-1]
