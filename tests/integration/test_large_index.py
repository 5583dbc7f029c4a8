"""An index of many chunks stays on disk: what it takes of memory does not grow with them. Five million:
`python -m benchmarks.large_index`.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from holdfast.ids import ChunkId
from holdfast.stores.local import LocalStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.format.records import IndexedPack, PackTable
from holdfast.vault.index import ChunkIndex, write_index
from holdfast.vault.local_cache import cache_folder
from holdfast.vault.vault import open_vault

CHUNKS_PER_PACK, PACKS_PER_OBJECT, OBJECTS = 1000, 25, 8
MIB = 1 << 20


def packs(number: int) -> list[IndexedPack]:
    """What index object `number` lists; every third chunk is a delta to the one before."""
    rng = np.random.default_rng(number)
    found = []
    for _ in range(PACKS_PER_OBJECT):
        ids = rng.bytes(32 * CHUNKS_PER_PACK)
        based = np.arange(1, CHUNKS_PER_PACK, 3, dtype="<u4")
        codec = np.ones(CHUNKS_PER_PACK, "u1")
        codec[based] = 3
        table = PackTable(
            ids=ids,
            stored=np.full(CHUNKS_PER_PACK, 17 << 10, "<u4").tobytes(),
            raw=np.full(CHUNKS_PER_PACK, 20 << 10, "<u4").tobytes(),
            codec=codec.tobytes(),
            kind=b"\2" * CHUNKS_PER_PACK,
            width=b"\4" * CHUNKS_PER_PACK,
            based=based.tobytes(),
            bases=b"".join(ids[32 * at - 32 : 32 * at] for at in based.tolist()),
        )
        found.append(IndexedPack(rng.bytes(32), 20 << 20, table))
    return found


def ids_of(number: int) -> list[ChunkId]:
    joined = b"".join(pack.table.ids for pack in packs(number))
    return [ChunkId(joined[start : start + 32]) for start in range(0, len(joined), 32)]


def make_vault(folder: Path, objects: int) -> None:
    trial = new_trial_vault(LocalStore(folder), encrypted=False)
    keys = trial.open().handle.keys
    for number in range(objects):
        trial.store.put(*write_index(keys, packs(number), number))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown_by(folder: Path, cache: Path, objects: int) -> tuple[int, int]:
    """Bytes of memory that a process takes to load the index and look 10,000 chunks up, and how many it found."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    handle = open_vault(LocalStore(folder), None).handle
    wanted = [chunk for number in (0, objects - 1) for chunk in ids_of(number)[::5]]
    gc.collect()
    before = resident()
    found = sum(handle.index.find(chunk) is not None for chunk in wanted)
    return resident() - before, found


def test_memory_does_not_grow_with_chunks(tmp_path: Path) -> None:
    grown = {}
    for objects in (1, OBJECTS):
        make_vault(tmp_path / str(objects), objects)
        for again in (False, True):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                arguments = (tmp_path / str(objects), tmp_path / "cache", objects)
                grown[objects, again], found = pool.submit(grown_by, *arguments).result()
            assert found == 10_000
    more = (OBJECTS - 1) * CHUNKS_PER_PACK * PACKS_PER_OBJECT
    assert grown[OBJECTS, False] - grown[1, False] < 300 * more, grown  # in dictionaries each took 600
    assert grown[OBJECTS, True] < 48 * MIB, grown  # of which SQLite's pages are 32


def test_what_lies_in_memory_and_on_disk(tmp_path: Path) -> None:
    make_vault(tmp_path / "vault", OBJECTS)
    handle = open_vault(LocalStore(tmp_path / "vault"), None).handle
    count = OBJECTS * PACKS_PER_OBJECT * CHUNKS_PER_PACK
    assert len(ChunkIndex.load(handle.store, handle.keys)) == count
    store = CountingStore(handle.store)
    gc.collect()
    tracemalloc.start()
    try:
        index = ChunkIndex.load(store, handle.keys)
        objects = [tracemalloc.get_traced_memory()[0]]
        for chunk in ids_of(3)[::50]:
            [located] = index.places(chunk)
            assert index.find(located.place.base or chunk) is not None
        gc.collect()
        objects.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert store.counts.get("get", 0) == 0, "nothing is read again"
    assert max(objects) < MIB, "neither chunks nor tables are kept as objects"
    path = cache_folder(handle.keys.vault, handle.store.url) / "index.sqlite"
    database = sqlite3.connect(path)
    rows = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("chunks", "fresh")}
    tables = database.execute("SELECT count(*), sum(chunks) FROM tables").fetchone()
    database.close()
    assert rows["chunks"] + rows["fresh"] == count and rows["chunks"] > 0
    assert tables == (OBJECTS * PACKS_PER_OBJECT, count)
    assert path.stat().st_size < 120 * count  # id, place and a third of a base, twice the beginning of the id
