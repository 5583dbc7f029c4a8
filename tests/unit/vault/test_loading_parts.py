"""Reading parts of files: into whose memory, what is kept, and that nothing wrong is handed out."""

from __future__ import annotations

import mmap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest

from holdfast.errors import DamageError, MissingExtraError, NotFoundError, UsageError
from holdfast.ids import ChunkId
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.protocol import Capabilities, Store
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import TrialVault
from holdfast.vault.files.decoded import DecodedChunks
from holdfast.vault.files.reading import Demand, PartialFile, PartReader
from holdfast.vault.files.windows import Window
from holdfast.vault.format.records import TensorRecord
from holdfast.vault.tensors.loading import LazyTensor, LazyTensors, load_tensors
from holdfast.vault.tensors.sharding import shard_key

RNG = np.random.default_rng(1)
ARRAYS: dict[str, Any] = {
    "matrix": RNG.normal(size=(12, 10)).astype("f4"),
    "bf16": RNG.normal(size=(6, 4)).astype(ml_dtypes.bfloat16),
    "fp8": RNG.normal(size=(6, 4)).astype(ml_dtypes.float8_e5m2),
    "flags": RNG.integers(0, 2, size=(5, 3)).astype("?"),
    "scalar": np.float64(2.5),
    "empty": np.zeros((0, 3), "f8"),
}


@pytest.fixture
def tensors(trial: TrialVault) -> LazyTensors:
    trial.open().save("arrays", ARRAYS, verify=False)
    return trial.open().load("arrays")


@pytest.mark.parametrize(
    "kind, name",
    [(kind, name) for kind, name in product(["array", "bytearray", "memoryview", "mmap"], ARRAYS)
     if (kind, name) != ("mmap", "empty")],  # there is no empty mapping
)  # fmt: skip
def test_into_memory_of_any_kind(tensors: LazyTensors, name: str, kind: str) -> None:
    tensor, expected = tensors[name], np.asarray(ARRAYS[name])
    buffer: Any = {
        "array": lambda: np.empty(tensor.shape, tensor.dtype),
        "bytearray": lambda: bytearray(tensor.nbytes),
        "memoryview": lambda: memoryview(bytearray(tensor.nbytes)),
        "mmap": lambda: mmap.mmap(-1, tensor.nbytes),
    }[kind]()
    found = tensor.read_into(buffer)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes() == bytes(memoryview(np.asarray(found).reshape(-1).view("u1")))
    assert np.frombuffer(buffer, "u1").tobytes() == expected.tobytes() if kind != "array" else found is buffer


@pytest.mark.parametrize(
    "key",
    [..., 3, -1, slice(2, 9), slice(None, None, 3), (slice(None), slice(2, 7)), (slice(1, 8), slice(3, 5)),
     (4, slice(1, 9)),
     slice(None, None, -1), (slice(8, 1, -2), slice(None, None, -3)), [0, 5, 2], (slice(None), [1, 1])],
)  # fmt: skip
def test_any_part_into_memory(tensors: LazyTensors, key: Any) -> None:
    expected = ARRAYS["matrix"][key]
    target = np.full(expected.shape, np.nan, "f4")
    assert tensors["matrix"].read_into(target, key) is target
    assert np.array_equal(target, expected)


def test_memory_that_does_not_fit_is_refused(tensors: LazyTensors) -> None:
    matrix = tensors["matrix"]
    read_only = np.zeros((12, 10), "f4")
    read_only.flags.writeable = False
    for wrong, said in (
        (np.empty((12, 10), "f8"), "float64"),
        (np.empty((10, 12), "f4"), r"\[10, 12\]"),
        (np.empty((12, 20), "f4")[:, ::2], "not contiguous"),
        (np.empty((12, 10), "f4", order="F"), "not contiguous"),
        (read_only, "read-only"),
        (bytes(480), "read-only"),
        (bytearray(479), "480 bytes, the buffer to read it into 479"),
        ([0.0] * 120, "a list"),
    ):
        with pytest.raises(UsageError, match=said):
            matrix.read_into(wrong)
        with pytest.raises(UsageError, match=said):
            tensors.read_all(into={"matrix": wrong})
    with pytest.raises(UsageError, match="480"):
        matrix.read_into(np.empty((3, 10), "f4").data, slice(12))


def test_many_at_once(tensors: LazyTensors) -> None:
    mine = np.empty((12, 10), "f4")
    flipped = np.empty((6, 4), ml_dtypes.bfloat16)
    found = tensors.read_all(into={"matrix": mine, "bf16": flipped}, keys={"bf16": slice(None, None, -1)})
    assert list(found) == ["matrix", "bf16"] and found["matrix"] is mine
    assert np.array_equal(mine, ARRAYS["matrix"]) and np.array_equal(flipped, ARRAYS["bf16"][::-1])
    everything = tensors.read_all(keys={"matrix": (slice(None), 3)})
    assert set(everything) == set(ARRAYS)
    for name, array in everything.items():
        expected = ARRAYS[name][:, 3] if name == "matrix" else np.asarray(ARRAYS[name])
        assert array.dtype == expected.dtype and np.array_equal(array, expected)
    with pytest.raises(NotFoundError):
        tensors.read_all(["matrix", "nothing"])
    with pytest.raises(UsageError, match="'bf16' has a place or a key"):
        tensors.read_all(["matrix"], keys={"bf16": 0})
    with pytest.raises(NotFoundError, match="matrx"):
        tensors.shard(0, 2, dim={"matrx": 1})


def test_of_a_store_that_is_far_away_packs_are_read_at_the_same_time(trial: TrialVault) -> None:
    many = {f"t{number}": RNG.integers(0, 255, 3 << 20, "u1") for number in range(4)}  # no two fit into one chunk
    TrialVault(trial.store, trial.keeper, trial.clock, pack_bytes=1 << 20).open().save("far", many, verify=False)
    far = FarAway(trial.store)
    tensors = trial.open(store=far).load("far")
    found = tensors.read_all(["t0", "t2"], workers=3)
    assert all(np.array_equal(found[name], many[name]) for name in found)
    assert far.most_at_once > 1


class FarAway(ReadOnlyStore):
    """A store whose every answer takes a moment, and which counts how many are asked for at the same time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._asked, self.most_at_once, self._lock = 0, 0, threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=False, remote=True)

    def get_ranges(self, key: str, ranges: Any) -> list[bytes]:
        with self._lock:
            self._asked += 1
            self.most_at_once = max(self.most_at_once, self._asked)
        time.sleep(0.02)
        try:
            return super().get_ranges(key, ranges)
        finally:
            with self._lock:
                self._asked -= 1


@pytest.mark.parametrize("size", [0, 1, 5, 8, 9])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
def test_shards_are_those_of_torch_chunk(size: int, world: int) -> None:
    """`torch.chunk`: pieces of ⌈size / world⌉, the last one smaller; ranks that it leaves out have nothing."""
    places = np.arange(size)
    shards = [places[shard_key((2, size), rank, world, dim=-1)[1]] for rank in range(world)]
    assert np.array_equal(np.concatenate(shards), places)
    each = -(-size // world)
    assert all(len(shard) == each for shard in shards[: size // each if each else 0])


def test_the_shards_of_all_ranks_are_the_whole(tensors: LazyTensors) -> None:
    world = 4
    parts = [tensors.shard(rank, world) for rank in range(world)]
    for name, whole in ARRAYS.items():
        if np.ndim(whole):
            assert np.array_equal(np.concatenate([part[name] for part in parts]), whole)
        else:
            assert all(part[name] == whole for part in parts)
    columns = [tensors.shard(rank, 3, dim={"matrix": 1, "bf16": None}) for rank in range(3)]
    assert np.array_equal(np.concatenate([part["matrix"] for part in columns], axis=1), ARRAYS["matrix"])
    assert all(np.array_equal(part["bf16"], ARRAYS["bf16"]) for part in columns)
    assert np.array_equal(tensors["matrix"].shard(1, 3, dim=-1), columns[1]["matrix"])
    for wrong in ((3, 3, 0), (-1, 3, 0), (0, 0, 0), (0, 1, 2)):
        with pytest.raises(UsageError):
            tensors["matrix"].shard(*wrong)
    with pytest.raises(UsageError):
        tensors["scalar"].shard(0, 1)


def test_small_tensors_of_one_chunk_are_decoded_once(trial: TrialVault) -> None:
    many = {f"t{number}": np.full(100, number, "f4") for number in range(50)}
    trial.open().save("many", many, verify=False)
    watched = FaultyStore(trial.store, Faults())
    vault = trial.open(store=watched)

    def requests() -> int:
        return sum(operation.verb == "get_ranges" for operation in watched.log)

    tensors = vault.load("many")
    before = requests()
    assert all((tensors[name][...] == array).all() for name, array in many.items())
    assert requests() == before + 1
    tensors = load_tensors(vault.handle, vault.find("many"), cache_bytes=0)
    before = requests()
    assert tensors["t1"][0] == 1 and tensors["t2"][0] == 2
    assert requests() == before + 2
    before = requests()
    assert len(tensors.read_all()) == 50
    assert requests() == before + 1


def test_the_cache_is_bounded_and_forgets_what_was_not_used() -> None:
    cache = DecodedChunks(100)
    for number in range(5):
        cache.put(ChunkId(bytes([number])), bytes(30))
        cache.get(ChunkId(b"\0"))
    assert cache.held_bytes == 90 and cache.get(ChunkId(b"\0")) is not None and cache.get(ChunkId(b"\1")) is None
    cache.put(ChunkId(b"big"), bytes(101))
    assert cache.held_bytes == 90
    cache.clear()
    assert cache.held_bytes == 0 and cache.get(ChunkId(b"\0")) is None
    with pytest.raises(UsageError):
        DecodedChunks(-1)


def test_threads_read_the_same_from_one_cache(tensors: LazyTensors) -> None:
    def one(number: int) -> bool:
        name = list(ARRAYS)[number % len(ARRAYS)]
        return tensors[name][...].tobytes() == np.asarray(ARRAYS[name]).tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))


def test_a_chunk_of_another_length_is_damage(trial: TrialVault, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"0123456789")
    vault = trial.open()
    vault.save("plain", tmp_path / "plain", verify=False)
    [entry] = vault.files(vault.find("plain"))
    parts = PartReader(vault.handle)
    assert parts.span(PartialFile(entry), 2, 5) == b"23456"
    for claimed in (9, 11):  # also where the chunk was decoded before
        lying = msgspec.structs.replace(
            entry, size=claimed, lengths=claimed.to_bytes(4, "little"), runs=[(claimed, 0, 1, 1)]
        )
        for reader in (parts, PartReader(vault.handle)):
            with pytest.raises(DamageError, match=f"10 bytes, not {claimed}"):
                reader.span(PartialFile(lying), 0, 3)
    twice = msgspec.structs.replace(
        entry,
        size=19,
        chunks=entry.chunks * 2,
        lengths=b"".join(length.to_bytes(4, "little") for length in (10, 9)),
        runs=[(19, 0, 1, 2)],
    )
    with pytest.raises(DamageError, match="10 bytes, and with 9"):
        parts.span(PartialFile(twice), 0, 19)


def test_what_lies_outside_of_the_file_is_damage(trial: TrialVault, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"0123456789")
    vault = trial.open()
    vault.save("plain", tmp_path / "plain", verify=False)
    [entry] = vault.files(vault.find("plain"))
    for window in (Window(8, 1, 3, 3), Window(0, 3, 4, 3), Window(-1, 1, 2, 2)):
        with pytest.raises(DamageError, match="outside"):
            PartReader(vault.handle).fill([Demand(PartialFile(entry), window, np.empty(window.size, "u1"))])


def test_a_tensor_that_lies_outside_of_its_file_is_damage(trial: TrialVault, tensors: LazyTensors) -> None:
    vault = trial.open()
    [entry] = [one for one in vault.files(vault.find("arrays")) if one.type == "file"]
    parts, file = PartReader(vault.handle), PartialFile(entry)
    for offset, size in ((entry.size - 4, 8), (-4, 8), (0, entry.size + 1), (1 << 62, 8)):
        record = TensorRecord("w", "u8", [size], offset, size, False, None, 0)
        for key in (..., 0, slice(2)):
            with pytest.raises(DamageError, match="outside"):
                LazyTensor(parts, file, record)[key]
    with pytest.raises(UsageError, match="0 threads"):
        tensors.read_all(workers=0)


def test_without_pytorch_it_is_said_what_is_missing(tensors: LazyTensors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match="PyTorch") as caught:
        tensors["matrix"].to_torch()
    assert caught.value.hint


def test_pytorch_tensors(tensors: LazyTensors) -> None:
    torch = pytest.importorskip("torch")
    for name in ("matrix", "bf16", "fp8", "flags", "scalar", "empty"):
        tensor = tensors[name]
        kind = getattr(torch, tensor.dtype.name)
        target = torch.zeros(tensor.shape, dtype=kind)
        tensor.read_into(target)
        found = tensor.to_torch()
        assert found.dtype == kind and tuple(found.shape) == tensor.shape
        expected = np.asarray(ARRAYS[name]).tobytes()
        for one in (target, found):
            assert one.reshape(-1).view(torch.uint8).numpy().tobytes() == expected
    with pytest.raises(UsageError, match=r"torch\.float64"):
        tensors["matrix"].read_into(torch.zeros((12, 10), dtype=torch.float64))
    with pytest.raises(UsageError, match="contiguous"):
        tensors["matrix"].read_into(torch.zeros((10, 12)).T)
