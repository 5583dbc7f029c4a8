"""What other writers, rotten caches and failing disks put in the way: it is noticed, survived, and costs little."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import holdfast.stores.local as local_stores
from holdfast.errors import DamageError, HoldfastError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_writer
from holdfast.vault.codecs import Codec, encode
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.regions.model import BYTES, OPAQUE
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.saving.memory import memory_path

NONE = ChunkId(b"")


@pytest.fixture
def trial(tmp_path: Path) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"))


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "memory"))
    return tmp_path / "memory"


def list_pack(handle: Handle, builder: PackBuilder) -> None:
    """Store the pack, and an index object of this handle's signer that lists it."""
    pack = builder.finish()
    handle.store.put(pack.key, bytes(pack.data))
    handle.store.put(*write_index(handle.keys, [IndexedPack(bytes.fromhex(pack.id), len(pack.data), pack.table)], 1))


class RottenMedium(LocalStore):
    """A disk that keeps something else than it was given, in every pack."""

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        if key.startswith(PACKS):
            assert not isinstance(data, Sequence) or isinstance(data, (bytes, bytearray, memoryview))
            rotten = bytearray(data)
            rotten[len(rotten) // 2] ^= 1
            data = rotten
        return super().put(key, data)


def test_another_writers_claim_does_not_stand_in_for_reading_back(trial: TrialVault, tmp_path: Path) -> None:
    """The other one lists a sound pack with junk under the chunk's id. Ours is rotten: that is what must be read."""
    one: Credential = admit_writer(trial.open().handle, "one")
    other = trial.open(admit_writer(trial.open().handle, "two")).handle
    source = tmp_path / "f.bin"
    source.write_bytes(random.Random(1).randbytes(5000))
    builder = PackBuilder(other.keys, 1 << 16)
    chunk = other.keys.names.chunk_id(source.read_bytes())
    builder.add(chunk, bytes(5000), raw=5000, codec=0, element=OPAQUE, base=NONE)
    list_pack(other, builder)
    with pytest.raises(DamageError):
        trial.open(one, store=RottenMedium(tmp_path / "vault")).save("run", source)
    assert trial.open().tags("run") == {}


def test_a_bad_sector_is_no_obstacle_where_another_pack_has_the_same(
    trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "f.bin"
    source.write_bytes(random.Random(1).randbytes(50_000))
    root = trial.open().save("run", source).root
    [bad] = [info.key for info in trial.store.list(PACKS)]
    place, aside = tmp_path / "vault" / bad, tmp_path / "aside"
    place.rename(aside)
    trial.open().save("again", source)  # stores the chunks anew, in another pack
    aside.rename(place)

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def read(key: str, *given: object) -> object:
            if key == bad:
                raise OSError(5, "Input/output error")
            return real(key, *given)

        return read

    monkeypatch.setattr(local_stores, "read_at", failing(local_stores.read_at))
    monkeypatch.setattr(local_stores, "read_into", failing(local_stores.read_into))
    trial.open().restore(root.id, tmp_path / "back")
    assert (tmp_path / "back" / "f.bin").read_bytes() == source.read_bytes()


def test_lengths_are_compared_before_anything_of_them_is_decoded(trial: TrialVault) -> None:
    """Chunks that are said to have 64 bytes, and are deltas to deltas of 4 MiB: none of that is ever in memory."""
    handle = trial.open().handle
    size = 4 << 20
    noise = os.urandom(size)

    def content(number: int) -> bytes:
        return struct.pack("<Q", number) + noise[8:]

    builder, ids = PackBuilder(handle.keys, 1 << 24), list[ChunkId]()
    for number in range(12):
        base = None if number == 0 else min(number - 1, 1)
        encoded = encode(content(number), BYTES, None if base is None else content(base))
        assert base is None or encoded.codec is Codec.DELTA
        chunk = handle.keys.names.chunk_id(content(number))
        ids.append(chunk)
        builder.add(
            chunk,
            encoded.payload,
            raw=size,
            codec=int(encoded.codec),
            element=BYTES,
            base=NONE if base is None else ids[base],
        )
    list_pack(handle, builder)
    handle.refresh()
    reader = handle.reader()
    tracemalloc.start()
    try:
        with pytest.raises(DamageError):
            reader.stream([Wanted(chunk, 64, None) for chunk in ids[2:]], lambda one, data: None, workers=1)
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_what_is_raised_again_and_again_holds_no_packs(trial: TrialVault, tmp_path: Path) -> None:
    source = tmp_path / "f.bin"
    source.write_bytes(random.Random(2).randbytes(50_000))
    trial.open().save("run", source)
    [key] = [info.key for info in trial.store.list(PACKS)]
    path = tmp_path / "vault" / key
    damaged = bytearray(path.read_bytes())
    damaged[3000] ^= 1
    path.write_bytes(damaged)
    handle = trial.open().handle
    chunk = handle.keys.names.chunk_id(source.read_bytes())
    assert handle.index.find(chunk) is not None
    reader = handle.reader()
    lengths = []
    for _ in range(5):
        with pytest.raises(DamageError) as caught:
            reader.read([chunk])
        lengths.append(sum(1 for _ in caught.traceback))
        assert pack_key(PackId(key.rsplit("/", 1)[-1])) in str(caught.value)
    assert lengths[-1] <= lengths[1]


def test_a_rotten_memory_of_the_last_save_is_none(trial: TrialVault, tmp_path: Path) -> None:
    source = tmp_path / "f.bin"
    source.write_bytes(random.Random(3).randbytes(9000))
    trial.open().save("run", source)
    memory = memory_path(trial.open().handle.keys, "run")
    assert memory is not None
    kept = memory.read_bytes()
    for position in range(0, len(kept), 7):
        rotten = bytearray(kept)
        rotten[position] ^= 0x81
        memory.write_bytes(rotten)
        assert trial.open().save("run", source).validated


def test_a_base_file_that_became_a_pipe_stops_nothing(trial: TrialVault, tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "model.npy", tmp_path / "2" / "model.npy"
    for path in (first, second):
        path.parent.mkdir()
        path.write_bytes(random.Random(4).randbytes(40_000))
    trial.open().save("run", first)
    first.unlink()
    os.mkfifo(first)
    second.write_bytes(random.Random(5).randbytes(40_000))
    assert trial.open().save("run", second).verified is not None


def test_a_user_without_a_home_saves_and_restores(
    trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("holdfast.homes.Path.home", homeless)
    source = tmp_path / "f.bin"
    source.write_bytes(b"content" * 1000)
    assert memory_path(trial.open().handle.keys, "run") is None
    assert trial.open().save("run", source).validated
    trial.open().restore("run", tmp_path / "back")
    assert (tmp_path / "back" / "f.bin").read_bytes() == source.read_bytes()


def test_errors_of_the_vault_are_not_told_as_errors_of_the_source(
    trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*given: object, **more: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    source = tmp_path / "model.npy"
    source.write_bytes(random.Random(6).randbytes(40_000))
    vault = trial.open()
    monkeypatch.setattr("holdfast.vault.saving.pack_writer.PackBuilder", no_memory)
    with own_memory(tmp_path / "other"), pytest.raises((OSError, HoldfastError)) as caught:
        vault.save("run", source)
    assert "model.npy" not in str(caught.value)
