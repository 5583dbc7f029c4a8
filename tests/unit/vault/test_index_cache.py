"""What the index keeps on this machine: read once, shared, and never believed more than the store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest
from index_tables import PACK_BYTES, make_table, pack_id

from holdfast.errors import FailedError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.local import LocalStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.index import ChunkIndex, write_index
from holdfast.vault.local_cache import cache_folder

CONTENT = Random(1).randbytes(200_000)


@pytest.fixture
def trial(tmp_path: Path) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=False, pack_bytes=20_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_bytes(CONTENT[number * 10_000 : (number + 1) * 10_000])
    return folder


def cache_file(trial: TrialVault) -> Path:
    return cache_folder(trial.open().handle.keys.vault, trial.store.url) / "index.sqlite"


def restored(trial: TrialVault, target: Path) -> bytes:
    trial.open().restore("run", target)
    return b"".join((target / str(number)).read_bytes() for number in range(20))


def reads(trial: TrialVault, act: Callable[[CountingStore], object]) -> int:
    """Objects that are fetched from the store."""
    store = CountingStore(trial.store)
    act(store)
    return sum(store.counts.get(verb, 0) for verb in ("get", "get_ranges", "head"))


def load(trial: TrialVault, store: CountingStore | None = None) -> ChunkIndex:
    return ChunkIndex.load(store or trial.store, trial.open().handle.keys)


def list_packs(trial: TrialVault, *numbers: int, chunks: int = 3) -> str:
    """An index object of packs that are not there."""
    packs = [IndexedPack(bytes.fromhex(pack_id(one)), PACK_BYTES, make_table(ids_of(one, chunks))) for one in numbers]
    key, data = write_index(trial.open().handle.keys, packs, 1)
    trial.store.put(key, data)
    return key


def ids_of(number: int, count: int = 3) -> list[ChunkId]:
    random = Random(number)
    return [ChunkId(random.randbytes(32)) for _ in range(count)]


def test_what_was_read_once_is_not_read_again(trial: TrialVault) -> None:
    list_packs(trial, 1, 2)
    list_packs(trial, 3)
    assert reads(trial, lambda store: load(trial, store)) == 2
    assert reads(trial, lambda store: load(trial, store)) == 0
    list_packs(trial, 4)
    assert reads(trial, lambda store: load(trial, store)) == 1
    index = load(trial)
    assert set(index.packs()) == {pack_id(number) for number in (1, 2, 3, 4)} and len(index) == 12
    assert all(index.find(chunk) for number in (1, 2, 3, 4) for chunk in ids_of(number))


def test_a_handle_learns_of_what_others_stored_and_reads_only_that(trial: TrialVault) -> None:
    store = CountingStore(trial.store)
    handle = trial.open(store=store).handle
    list_packs(trial, 1)
    assert set(handle.index.packs()) == {pack_id(1)}
    list_packs(trial, 2)
    assert handle.index.find(ids_of(2)[0]) is None
    handle.refresh()
    store.reset()
    assert set(handle.index.packs()) == {pack_id(1), pack_id(2)} and store.counts["get"] == 1


def test_only_the_owner_can_read_it(trial: TrialVault) -> None:
    list_packs(trial, 1)
    index = load(trial)
    index.add(pack_id(2), PACK_BYTES, make_table(ids_of(2)))
    files = sorted(cache_file(trial).parent.glob("index.sqlite*"))
    assert len(files) == 3 and all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_an_index_object_that_is_gone_takes_its_word_along(trial: TrialVault) -> None:
    lost, again = list_packs(trial, 1, 2), list_packs(trial, 2, 3)
    load(trial)
    trial.store.delete(lost)
    index = load(trial)
    assert set(index.packs()) == {pack_id(2), pack_id(3)} and index.find(ids_of(1)[0]) is None
    trial.store.delete(again)
    assert load(trial).packs() == {}
    with sqlite3.connect(cache_file(trial)) as database:
        for table in ("objects", "tables", "sayings", "blocks", "chunks", "fresh"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table
    database.close()


def test_who_was_revoked_does_not_count_though_it_was_read_before(trial: TrialVault) -> None:
    thief = trial.open(admit_writer(trial.open().handle, "stolen")).handle
    pack = IndexedPack(bytes.fromhex(pack_id(9)), PACK_BYTES, make_table(ids_of(9)))
    trial.store.put(*write_index(thief.keys, [pack], 1))
    list_packs(trial, 1)
    assert set(load(trial).packs()) == {pack_id(9), pack_id(1)}
    revoke_signer(trial.open().handle, "stolen")
    index = load(trial)
    assert set(index.packs()) == {pack_id(1)} and index.find(ids_of(9)[0]) is None
    assert any("revoked" in problem.message for problem in index.problems)


def test_a_forgotten_pack_is_forgotten_by_this_index_alone(trial: TrialVault) -> None:
    list_packs(trial, 1)
    index = load(trial)
    index.forget_pack(pack_id(1))
    assert index.packs() == {} and index.table(pack_id(1)) is None and load(trial).find(ids_of(1)[0]) is not None


def test_a_writer_does_not_take_what_a_reader_read_for_its_own(tmp_path: Path) -> None:
    """A pack's footer says what chunks it holds; that they are in it, only who reads can tell."""
    trial = new_trial_vault(LocalStore(tmp_path / "vault"))
    writer = admit_writer(trial.open().handle, "machine")
    trial.open().handle.index.add(pack_id(1), PACK_BYTES, make_table(ids_of(1)))
    assert trial.open().handle.index.signer_of(pack_id(1)) == "" and pack_id(1) in trial.open().handle.index.packs()
    handle = trial.open(writer).handle
    assert not handle.keys.can_read and handle.index.packs() == {}
    handle.index.add(pack_id(2), PACK_BYTES, make_table(ids_of(2)))
    assert set(trial.open(writer).handle.index.packs()) == {pack_id(2)}


def test_the_keepers_word_is_named_before_that_of_another_writer(tmp_path: Path) -> None:
    trial = new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=False)
    other = trial.open(admit_writer(trial.open().handle, "other")).handle
    listed = [IndexedPack(bytes.fromhex(pack_id(1)), PACK_BYTES, make_table(ids_of(1)))]
    for keys in (other.keys, trial.open().handle.keys):
        trial.store.put(*write_index(keys, listed, 1))
        load(trial)
    label = {mark: signer.label for mark, signer in other.keys._trusted.items()}
    assert label[load(trial).signer_of(pack_id(1))] == "keeper"
    assert label[ChunkIndex.load(trial.store, other.keys).signer_of(pack_id(1))] == "other"


ROT = {
    "blocks": "UPDATE blocks SET body = zeroblob(length(body))",
    "offsets": "UPDATE blocks SET body = CAST(substr(body, 1, 32) || x'00000001' || substr(body, 37) AS BLOB)",
    "places": "UPDATE fresh SET place = place + 1",
    "prefixes": "UPDATE fresh SET prefix = prefix + 1",
    "packs": "UPDATE tables SET pack = randomblob(32)",
    "sizes": "UPDATE tables SET size = size - 1, chunks = 1",
    "rows": "DELETE FROM fresh",
    "tables": "DELETE FROM tables",
    "footers": "UPDATE tables SET footer = 1 - footer",
}


@pytest.mark.parametrize("statement", ROT.values(), ids=ROT.keys())
def test_a_cache_that_rotted_hurts_no_restore(trial: TrialVault, source: Path, tmp_path: Path, statement: str) -> None:
    trial.open().save("run", source)
    database = sqlite3.connect(cache_file(trial))
    assert database.execute(statement).rowcount > 0
    database.commit()
    database.close()
    assert restored(trial, tmp_path / "out") == CONTENT
    assert trial.open().check(read_data=True).damages == []
    (source / "19").write_bytes(b"changed")
    assert trial.open().save("run", source).validated


@pytest.mark.parametrize("garbage", [b"", b"no database" * 1000], ids=["empty", "garbage"])
def test_a_file_that_is_no_database_is_begun_anew(
    trial: TrialVault, source: Path, tmp_path: Path, garbage: bytes
) -> None:
    trial.open().save("run", source)
    for path in cache_file(trial).parent.glob("index.sqlite-*"):
        path.unlink()
    cache_file(trial).write_bytes(garbage)
    assert restored(trial, tmp_path / "out") == CONTENT
    assert reads(trial, lambda store: load(trial, store)) == 0


def spoil(index: ChunkIndex) -> None:
    """Let its database fail at whatever is done next."""
    with index._base.facts.cache.reading() as database:
        for name in ("chunks", "tables"):
            database.execute(f"DROP TABLE {name}")


def test_a_database_that_fails_in_use_is_replaced(trial: TrialVault) -> None:
    list_packs(trial, 1, 2)
    index = load(trial)
    index.add(pack_id(3), PACK_BYTES, make_table(ids_of(3)))
    index.forget_pack(pack_id(2))
    spoil(index)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: index.find(ids_of(number)[0]), [1, 2, 3, 1, 2, 3]))
    assert [located and located.pack for located in found] == [pack_id(1), None, pack_id(3)] * 2
    assert index._base.facts.cache.path is None, "this process goes on without the file"
    spoil(index)
    assert set(index.packs()) == {pack_id(1), pack_id(3)}
    assert index._base.facts.cache.in_memory
    spoil(index)
    with pytest.raises(FailedError, match="memory"):
        index.find(ids_of(1)[0])
    assert set(load(trial).packs()) == {pack_id(1), pack_id(2)}, "the next process begins a new file"
    assert load(trial)._base.facts.cache.path == cache_file(trial)


def test_what_footers_said_is_read_again_when_the_database_fails(
    trial: TrialVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.vault.index.chunks._RECENT_MAX", 2)
    trial.open().save("run", source)
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    cache_file(trial).unlink()
    handle = trial.open().handle
    index = handle.index
    assert index.packs() == {} and index.add_unlisted(trial.store, handle.keys) == []
    packs = index.packs()
    spoil(index)
    assert len(packs) > 2 and index.packs() == packs == {
        PackId(info.key[-64:]): info.size for info in trial.store.list("packs/")
    }


def test_a_full_disk_stops_no_save(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    vault = trial.open()
    vault.save("run", source)
    with vault.handle.index._base.facts.cache.reading() as database:
        [(pages,)] = database.execute("PRAGMA page_count")
        database.execute(f"PRAGMA max_page_count = {pages}")
    list_packs(trial, 1, chunks=3000)
    for number in range(20):
        (source / str(number)).write_bytes(Random(number).randbytes(10_000))
    assert vault.save("run", source).validated
    assert vault.handle.index._base.facts.cache.path is None
    assert restored(trial, tmp_path / "out") == b"".join(Random(number).randbytes(10_000) for number in range(20))


@pytest.mark.parametrize("obstacle", ["a file", "not writable", "no home"])
def test_a_machine_that_cannot_keep_it(
    trial: TrialVault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    home = tmp_path / "home"
    if obstacle == "a file":
        home.write_bytes(b"")
    elif obstacle == "not writable":
        home.mkdir(mode=0o500)
        if os.access(home, os.W_OK):
            pytest.skip("root writes everywhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "" if obstacle == "no home" else str(home))
    monkeypatch.setenv("HOME", "/dev/null")
    assert trial.open().save("run", source).validated
    assert restored(trial, tmp_path / "out") == CONTENT


def test_a_pack_that_is_gone_is_noticed(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    vault = trial.open()
    vault.save("run", source)
    for info in list(trial.store.list("packs/"))[:3]:
        trial.store.delete(info.key)
    assert trial.open().save("run", source).validated, "what is not there is stored again"
    assert restored(trial, tmp_path / "out") == CONTENT


def test_packs_known_from_their_footers_leave_with_them(trial: TrialVault, source: Path) -> None:
    trial.open().save("run", source)
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    handle = trial.open().handle
    first = next(iter(handle.index.packs()))
    trial.store.delete(pack_key(first))
    assert first in handle.index.packs() and handle.index.listed() == set()
    handle.index.add_unlisted(trial.store, handle.keys)
    assert first not in handle.index.packs() and first not in trial.open().handle.index.packs()
    assert len(trial.open().handle.index.packs()) == len(list(trial.store.list("packs/")))


def test_a_footer_that_was_wrong_once_is_read_again(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """Whatever stood in for the pack when its footer was read: it is the pack's own word that counts, now."""
    trial.open().save("run", source)
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    index = trial.open().handle.index
    for pack, size in index.packs().items():
        index.add(pack, size, make_table(ids_of(int(pack[:4], 16))))
    assert restored(trial, tmp_path / "out") == CONTENT


def load_in_process(folder: Path, cache: Path, vault: str) -> int:
    """How many chunks a process of its own knows, after adding a pack."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    from holdfast.vault.vault import open_vault

    handle = open_vault(LocalStore(folder), None).handle
    handle.index.add(pack_id(1000 + os.getpid()), PACK_BYTES, make_table(ids_of(os.getpid())))
    return len(handle.index)


def test_several_processes_fill_it_at_once(trial: TrialVault, tmp_path: Path) -> None:
    for number in range(6):
        list_packs(trial, *range(10 * number, 10 * number + 10), chunks=50)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        arguments = (tmp_path / "vault", tmp_path / "cache", "")
        runs = [pool.submit(load_in_process, *arguments) for _ in range(3)]
        assert all(run.result() >= 60 * 50 + 3 for run in runs)
    assert reads(trial, lambda store: load(trial, store)) == 0
    index = load(trial)
    assert len(index.listed()) == 60
    assert all(len(index.places(chunk)) == 1 for number in range(60) for chunk in ids_of(number, 50))
    [answer] = sqlite3.connect(cache_file(trial)).execute("PRAGMA integrity_check").fetchall()
    assert answer == ("ok",)


def test_rows_move_to_the_large_table_and_are_found_in_either(
    trial: TrialVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.vault.index.facts._FRESH_MIN", 500)
    monkeypatch.setattr("holdfast.vault.index.facts._LOOK_ROWS", 100)
    index = load(trial)
    for number in range(30):
        index.add(pack_id(number), PACK_BYTES, make_table(ids_of(number, 90)))
    database = sqlite3.connect(cache_file(trial))
    counts = [database.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in ("chunks", "fresh")]
    database.close()
    assert sum(counts) == 30 * 90 and counts[0] >= 2000 and counts[1] > 0
    for number in range(30):
        for chunk in ids_of(number, 90):
            [located] = index.places(chunk)
            assert located.pack == pack_id(number)


def test_a_forked_process_opens_its_own(trial: TrialVault) -> None:
    list_packs(trial, 1)
    index = load(trial)
    index.add(pack_id(2), PACK_BYTES, make_table(ids_of(2)))
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            found = [index.find(chunk) for number in (1, 2) for chunk in ids_of(number)]
            code = 0 if all(found) and index._base.facts.cache.path == cache_file(trial) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.find(ids_of(2)[0]) is not None
