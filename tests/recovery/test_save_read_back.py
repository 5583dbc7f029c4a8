"""A save that does not read back as written mends itself or is taken back; it never becomes a pointer's target."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from holdfast.errors import DamageError, NotFoundError
from holdfast.ids import ChunkId
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import Flip
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_writer
from holdfast.vault.codecs import Codec
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.snapshots.refs import read_history

OPAQUE = Element(Kind.OPAQUE, 1)
CONTENT = random.Random(1).randbytes(5000)  # one chunk


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


@pytest.fixture
def writer(trial: TrialVault) -> Credential:
    return admit_writer(trial.open().handle, "machine")


def keys(trial: TrialVault, prefix: str) -> list[str]:
    return [info.key for info in trial.store.list(prefix)]


def lie(handle: Handle, chunk: ChunkId, base: ChunkId | None = None) -> None:
    """Store a pack, whole and listed, that does not hold what it says."""
    builder = PackBuilder(handle.keys, 1 << 16)
    codec = Codec.DELTA if base else Codec.RAW
    builder.add(chunk, bytes(5000), raw=5000, codec=int(codec), element=OPAQUE, base=base or ChunkId(b""))
    pack = builder.finish()
    listed = IndexedPack(bytes.fromhex(pack.id), len(pack.data), pack.table)
    handle.store.put(pack.key, bytes(pack.data))
    handle.store.put(*write_index(handle.keys, [listed], 1))


@pytest.mark.parametrize("who", ["keeper", "writer"])
def test_a_damaged_pack_is_not_shared_but_stored_again(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path, who: str
) -> None:
    (source / "frozen").write_bytes(CONTENT)
    credential = writer if who == "writer" else trial.keeper
    first = trial.open(credential).save("run", source).root
    [pack] = keys(trial, "packs/")
    Flip(pack, 3000).apply(trial.store)

    report = trial.open(credential).save("run", source, step=2)
    assert report.validated and report.latest
    vault = trial.open()
    assert vault.find("run").id == vault.find("run@validated").id == report.root.id
    assert {one.root.id for one in vault.snapshots() if one.root} == {first.id, report.root.id}, "no root without use"
    every_snapshot_restores(vault, {first.id: read_tree(source), report.root.id: read_tree(source)}, tmp_path / "out")
    packs = keys(trial, "packs/")
    assert trial.open(credential).save("run", source, step=3).validated
    assert keys(trial, "packs/") == packs, "what was mended once is not stored again and again"


def test_a_pack_that_lies_is_not_relied_upon(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """Whole by its name, signed, and yet another content than its index says: only decoding finds that."""
    (source / "file").write_bytes(CONTENT)
    handle = trial.open().handle
    lie(handle, handle.keys.names.chunk_id(CONTENT))
    report = trial.open().save("run", source)
    assert report.validated and report.root.stats["new_chunks"] == 1
    every_snapshot_restores(trial.open(), {report.root.id: read_tree(source)}, tmp_path / "out")


def test_a_chunk_that_claims_to_be_a_delta_to_itself(trial: TrialVault, source: Path) -> None:
    (source / "file").write_bytes(CONTENT)
    handle = trial.open().handle
    chunk = handle.keys.names.chunk_id(CONTENT)
    lie(handle, chunk, base=chunk)
    assert trial.open().save("run", source).validated


def test_a_writer_takes_no_other_writers_word(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    """It cannot open packs; on a lie it would leave out bytes that nobody has."""
    (source / "file").write_bytes(CONTENT)
    liar = trial.open(admit_writer(trial.open().handle, "liar")).handle
    lie(liar, liar.keys.names.chunk_id(CONTENT))
    report = trial.open(writer).save("run", source)
    assert report.root.stats["new_chunks"] == 1
    every_snapshot_restores(trial.open(), {report.root.id: read_tree(source)}, tmp_path / "out")
    assert trial.open(writer).save("run", source, step=2).root.stats["new_chunks"] == 0, "its own word counts"


def test_a_writer_takes_a_keepers_word(trial: TrialVault, writer: Credential, source: Path) -> None:
    (source / "file").write_bytes(CONTENT)
    trial.open().save("run", source)
    assert trial.open(writer).save("run", source).root.stats["new_chunks"] == 0


@pytest.mark.parametrize("who", ["keeper", "writer"])
def test_a_shared_manifest_that_is_damaged_is_stored_anew(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path, who: str
) -> None:
    (source / "file").write_bytes(CONTENT)
    credential = writer if who == "writer" else trial.keeper
    trial.open(credential).save("run", source)
    before = keys(trial, "parts/")
    for part in before:
        Flip(part, 100).apply(trial.store)
    report = trial.open(credential).save("run", source)
    assert report.validated and keys(trial, "parts/") == before
    every_snapshot_restores(trial.open(), {report.root.id: read_tree(source)}, tmp_path / "out")


@pytest.mark.parametrize("what", ["snapshots/*", "parts/*", "packs/*"])
@pytest.mark.parametrize("who", ["keeper", "writer"])
def test_what_never_reads_back_is_taken_back(
    trial: TrialVault, writer: Credential, source: Path, who: str, what: str
) -> None:
    credential = writer if who == "writer" else trial.keeper
    faults = Faults().damage("get get_ranges", byte=90, matching=what)
    (source / "file").write_bytes(CONTENT)
    with pytest.raises(DamageError):
        trial.open(credential, store=FaultyStore(trial.store, faults)).save("run", source, tags=["best"])
    assert keys(trial, "snapshots/") == keys(trial, "refs/") == []
    assert trial.open(credential).save("run", source).validated


def test_latest_moves_only_to_what_was_read_back(trial: TrialVault, source: Path) -> None:
    (source / "file").write_bytes(CONTENT)
    store = FaultyStore(trial.store, Faults())
    trial.open(store=store).save("run", source)
    verbs = [(one.verb, one.key.partition("/")[0]) for one in store.log]
    written, moved = verbs.index(("create", "snapshots")), verbs.index(("create", "refs"))
    assert ("get", "snapshots") in verbs[written:moved] and ("get_ranges", "packs") in verbs[written:moved]


def test_packs_of_an_interrupted_save_are_listed(trial: TrialVault, source: Path) -> None:
    """Also for one who can only find them by an index: a writer."""
    trial = TrialVault(trial.store, trial.keeper, pack_bytes=4096)
    for number in range(8):
        (source / f"file-{number}").write_bytes(random.Random(number).randbytes(5000))
    writer = admit_writer(trial.open().handle, "machine")

    class Interrupt:
        done = 0

        def phase(self, name: str, total_bytes: int | None) -> None:
            return

        def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
            self.done += done_bytes
            if self.done >= 30_000:
                raise KeyboardInterrupt

        def note(self, message: str) -> None:
            return

    with pytest.raises(KeyboardInterrupt):
        trial.open(writer, progress=Interrupt()).save("run", source)
    packs = keys(trial, "packs/")
    assert packs and len(keys(trial, "index/")) == 1
    report = trial.open(writer).save("run", source)
    assert report.root.stats["new_chunks"] == 8 - len(packs)


def test_packs_that_no_index_lists_are_used(trial: TrialVault, source: Path) -> None:
    """A killed process lists nothing. A key that reads finds its packs by their footers."""
    (source / "file").write_bytes(CONTENT)
    trial.open().save("gone", source)
    for key in keys(trial, "index/"):
        trial.store.delete(key)
    assert trial.open().save("run", source).root.stats["new_chunks"] == 0


def test_a_quarantined_snapshot_gets_no_tag(trial: TrialVault, source: Path) -> None:
    (source / "model.pt").touch()
    report = trial.open().save("run", source, policy="quarantine", tags=["best"])
    assert report.root.validation.verdict == "quarantined"
    assert not report.latest and not report.validated and report.tags == ()
    with pytest.raises(NotFoundError):
        trial.open().find("run@best")
    assert keys(trial, "refs/") == []


def test_the_report_says_which_pointers_moved(trial: TrialVault, tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    for folder in (older, newer):
        folder.mkdir()
        (folder / "file").write_bytes(folder.name.encode())
    report = trial.open().save("run", newer, tags=["best"])
    assert report.latest and report.validated and report.tags == ("best",)
    late = trial.open().save("run", older)
    assert not late.latest and not late.validated
    assert [ref.target for ref in read_history(trial.open().handle, "run", "latest")] == [report.root.id]
