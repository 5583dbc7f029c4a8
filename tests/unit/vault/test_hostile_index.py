"""Index objects that lie, by somebody who has a writer's key: what the packs themselves say wins."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Any

import pytest
from blake3 import blake3

from holdfast.errors import DamageError, FailedError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import Buffer
from holdfast.testing.workspace import TrialVault
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.packs import PackBuilder, SealedPack
from holdfast.vault.format.records import IndexedPack, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import ChunkIndex, write_index
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.labels import entry_chunks

BYTES = Element(Kind.OPAQUE, 1)
NO_BASE = ChunkId(b"")


@pytest.fixture
def thief(trial: TrialVault) -> Handle:
    return trial.open(admit_writer(trial.open().handle, "stolen")).handle


def chunks_of(trial: TrialVault, root: Root) -> list[ChunkId]:
    handle = trial.open().handle
    return [c for part in read_parts(handle, root) for e in part.entries for _, _, c, _ in entry_chunks(e)]


def put_pack(handle: Handle, members: list[tuple[ChunkId, ChunkId]], raw: int, salt: bytes) -> SealedPack:
    """A pack of junk under these ids: (chunk, its base)."""
    builder = PackBuilder(handle.keys, 1 << 16)
    for chunk, base in members:
        builder.add(chunk, b"junk" + salt, raw=raw, codec=3 if base else 0, element=BYTES, base=base)
    pack = builder.finish()
    handle.store.put(pack.key, bytes(pack.data))
    return pack


def listed(handle: Handle, *packs: IndexedPack) -> None:
    key, data = write_index(handle.keys, packs, handle.clock.now_ns())
    handle.store.put(key, data)


def restores(trial: TrialVault, root: Root, target: Path, content: Buffer) -> None:
    trial.open().restore(root.id, target)
    assert (target / "state.txt").read_bytes() == content if target.is_dir() else target.read_bytes() == content


def test_a_pack_whose_listing_hides_its_chunks(
    trial: TrialVault, thief: Handle, make_snapshot: Any, tmp_path: Path
) -> None:
    root = make_snapshot()
    [pack] = trial.open().handle.index.packs()
    stored = trial.open().handle.index.packs()[pack]
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    other = PackBuilder(thief.keys, 100)
    other.add(ChunkId(bytes(32)), b"x", raw=1, codec=0, element=BYTES)
    listed(thief, IndexedPack(bytes.fromhex(pack), stored, other.finish().table))
    trial.open().verify(root.id)
    restores(trial, root, tmp_path / "out", b"state 1")


def test_two_listings_of_one_pack_that_differ(trial: TrialVault, thief: Handle, make_snapshot: Any) -> None:
    make_snapshot()
    honest = trial.open().handle.index
    [(pack, size)] = honest.packs().items()
    other = PackBuilder(thief.keys, 100)
    other.add(ChunkId(bytes(32)), b"x", raw=1, codec=0, element=BYTES)
    listed(thief, IndexedPack(bytes.fromhex(pack), size, other.finish().table))
    handle = trial.open().handle
    assert handle.index.packs() == {} and any("contradicts" in one.message for one in handle.index.problems)
    assert handle.index.add_unlisted(handle.store, handle.keys) == []
    assert handle.index.table(pack) == honest.table(pack) and handle.index.signer_of(pack) == ""


def test_who_listed_a_pack_is_known(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    handle = trial.open().handle
    [pack] = handle.index.packs()
    assert trial.keeper.signer is not None
    assert handle.index.signer_of(pack) == fingerprint(trial.keeper.signer.public)


def test_what_a_revoked_signer_lists_is_ignored_whatever_its_date(
    trial: TrialVault, thief: Handle, make_snapshot: Any
) -> None:
    root = make_snapshot()
    [chunk, *_] = chunks_of(trial, root)
    poison = put_pack(thief, [(chunk, NO_BASE)], 7, b"")
    key, data = write_index(thief.keys, [IndexedPack(bytes.fromhex(poison.id), len(poison.data), poison.table)], 1)
    trial.store.put(key, data)
    assert poison.id in trial.open().handle.index.packs()
    revoke_signer(trial.open().handle, "stolen")
    index = ChunkIndex.load(trial.store, trial.open().handle.keys)
    assert poison.id not in index.packs() and [one.message for one in index.problems if "revoked" in one.message]
    report = trial.open().check()
    assert report.damages == [] and any("revoked" in note for note in report.notes)


def test_many_poisoned_chains_do_not_multiply(
    trial: TrialVault, thief: Handle, make_snapshot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight packs, each with a chain of eight deltas over the same chunks: 8⁸ ways through them."""
    root = make_snapshot()
    [chunk] = chunks_of(trial, root)
    chain = [chunk, *(ChunkId(Random(number).randbytes(32)) for number in range(9))]
    for number in range(8):
        put_pack(thief, [*itertools.pairwise(chain), (chain[-1], NO_BASE)], 7, bytes([number]))
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    reads = 0
    read = trial.store.get_ranges

    def counted(key: str, ranges: Any) -> list[bytes]:
        nonlocal reads
        reads += 1
        assert reads < 5000, "the search goes through every way"
        return read(key, ranges)

    monkeypatch.setattr(trial.store, "get_ranges", counted)
    restores(trial, root, tmp_path / "out", b"state 1")


def test_an_index_or_a_root_that_the_medium_does_not_give(
    trial: TrialVault, make_snapshot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_snapshot()
    bad = make_snapshot("other")
    [bad_index, *_] = [info.key for info in trial.store.list("index/")]
    get = trial.store.get

    def failing(key: str) -> bytes:
        if key == bad_index or key.endswith(bad.id):
            raise FailedError(f"cannot read {key}: Input/output error", object_name=key)
        return get(key)

    monkeypatch.setattr(trial.store, "get", failing)
    restores(trial, root, tmp_path / "out", b"state 1")
    found = {one.key.rsplit("/", 1)[-1]: one for one in trial.open().snapshots()}
    assert found[root.id].root == root and isinstance(found[bad.id].error, FailedError)


def test_junk_under_an_honest_name_is_found_by_decoding(trial: TrialVault, thief: Handle, make_snapshot: Any) -> None:
    hurt, sound = make_snapshot(), make_snapshot("other")
    [chunk] = chunks_of(trial, hurt)
    index = trial.open().handle.index
    located = index.find(chunk)
    assert located is not None
    for info in list(trial.store.list("index/")):
        trial.store.delete(info.key)
    trial.store.delete(f"packs/{located.pack[:2]}/{located.pack}")
    poison = put_pack(thief, [(chunk, NO_BASE)], 7, b"!!!")
    assert blake3(trial.store.get(poison.key)).hexdigest() == poison.id, "the pack is what its name says"
    assert trial.open().check().damages == []
    [damage] = trial.open().check(read_data=True).damages
    assert damage.object == poison.key and damage.snapshots == [hurt.id] and sound.id not in damage.snapshots
    with pytest.raises(DamageError):
        trial.open().verify(hurt.id)


def test_junk_that_another_pack_makes_good_hurts_no_snapshot(
    trial: TrialVault, thief: Handle, make_snapshot: Any, tmp_path: Path
) -> None:
    root = make_snapshot()
    [chunk] = chunks_of(trial, root)
    poison = put_pack(thief, [(chunk, NO_BASE)], 7, b"!!!")
    [damage] = trial.open().check(read_data=True).damages
    assert damage.object == poison.key and damage.snapshots == []
    restores(trial, root, tmp_path / "out", b"state 1")
    assert PackId(poison.id) not in trial.open().handle.index.packs()
