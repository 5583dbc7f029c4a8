"""Lazy reading of whole snapshots: the same as NumPy would pick, and of the store only the chunks that hold it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from holdfast.errors import DamageError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.packs import preamble_bytes
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.tensors.loading import LazyTensor, load_tensors

MIB = 1 << 20
GAP_BYTES = 64 << 10  # what a reader takes along between two ranges, at most
DTYPES = ["f4", "f8", "f2", "i1", "u2", "i8", "?", "c8", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]


def noise(shape: tuple[int, ...], dtype: Any, seed: int) -> np.ndarray[Any, Any]:
    """Any bits at all, NaN among them: bytes are compared, not values."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape))
    rng = np.random.default_rng(seed)
    if kind == np.dtype("?"):
        return rng.integers(0, 2, size=shape).astype("?")
    return np.frombuffer(rng.bytes(size * kind.itemsize), kind).reshape(shape).copy()


def key_for(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    picks: list[Any] = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        edge = st.integers(-size - 2, size + 2)
        integer = [st.integers(-size, size - 1)] if size else []
        step = st.sampled_from([None, 1, 2, 5, -1, -3])
        picks.append(draw(st.one_of(*integer, st.builds(slice, st.none() | edge, st.none() | edge, step))))
    if draw(st.booleans()):
        picks.insert(draw(st.integers(0, len(picks))) if len(picks) == len(shape) else len(picks), ...)
    return tuple(picks)


@st.composite
def states(draw: st.DrawFn) -> dict[str, np.ndarray[Any, Any]]:
    shapes = st.lists(st.integers(0, 9), max_size=4).map(tuple)
    return {
        f"t{number}": noise(draw(shapes), draw(st.sampled_from(DTYPES)), number)
        for number in range(draw(st.integers(1, 6)))
    }


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_state_is_what_numpy_gives(data: st.DataObject) -> None:
    state = data.draw(states())
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    trial.open().save("state", state, verify=False)
    tensors = trial.open().load("state")
    keys = {name: data.draw(st.composite(key_for)(array.shape)) for name, array in state.items()}
    found = tensors.read_all(keys=keys)
    for name, array in state.items():
        expected = np.asarray(array[keys[name]])
        target = np.empty(expected.shape, expected.dtype)
        tensors[name].read_into(target, keys[name])
        for one in (found[name], np.asarray(tensors[name][keys[name]]), target):
            assert one.dtype == expected.dtype and one.shape == expected.shape
            assert one.tobytes() == expected.tobytes(), (name, array.shape, keys[name])


@pytest.fixture(scope="module")
def large() -> tuple[TrialVault, dict[str, np.ndarray[Any, Any]]]:
    """Tensors of several chunks, on a vault whose packs hold about two."""
    trial = new_trial_vault(MemoryStore(), encrypted=True, pack_bytes=9 * MIB)
    state = {
        "rows": noise((5, 1000, 900), "f4", 1),  # 17 MiB
        "wide": noise((3, 3 * MIB // 2), "f4", 2),  # rows longer than a chunk
        "long": noise((9 * MIB + 17,), "u1", 3),
    }
    trial.open().save("large", state, verify=False)
    return trial, state


def bytes_needed(trial: TrialVault, tensor: LazyTensor, places: np.ndarray[Any, Any]) -> int:
    """Stored bytes of the chunks that hold the bytes at `places` of the tensor, found one by one; and what may be with
    them: every pack's preamble, and small gaps.
    """
    handle = trial.open().handle
    [entry] = [one for one in trial.open().files(trial.open().find("large")) if one.path == tensor.path.encode()]
    offsets = np.sort(places) + tensor._record.offset
    needed, packs = 0, set()
    for offset, length, chunk, _ in entry_chunks(entry):
        first = np.searchsorted(offsets, offset)
        if first < len(offsets) and offsets[first] < offset + length:
            located = handle.index.find(chunk)
            assert located is not None
            needed += located.place.stored
            packs.add(located.pack)
    return needed + len(packs) * (preamble_bytes(handle.keys.suite) + GAP_BYTES)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_only_the_chunks_that_hold_it_are_read(large: Any, data: st.DataObject) -> None:
    trial, state = large
    name = data.draw(st.sampled_from(sorted(state)))
    array = state[name]
    key = data.draw(st.composite(key_for)(array.shape))
    watched = FaultyStore(trial.store, Faults())
    vault = trial.open(store=watched)
    tensor = load_tensors(vault.handle, vault.find("large"), cache_bytes=0)[name]
    found = np.asarray(tensor[key])
    assert found.tobytes() == np.asarray(array[key]).tobytes()
    numbers = np.arange(array.size).reshape(array.shape)[key]
    moved = sum(one.size for one in watched.log if one.verb == "get_ranges" and one.key.startswith("packs/"))
    # The first byte of an element is in the same chunk as the others: chunks are cut between elements.
    assert moved <= bytes_needed(trial, tensor, np.asarray(numbers).reshape(-1) * array.itemsize)


def test_a_state_is_read_in_one_pass(large: Any) -> None:
    trial, state = large
    watched = FaultyStore(trial.store, Faults())
    tensors = trial.open(store=watched).load("large")
    mine = np.empty_like(state["wide"])
    found = tensors.read_all(into={"wide": mine, "long": bytearray(state["long"].nbytes)}, names=list(state), workers=2)
    assert found["wide"] is mine
    assert all(found[name].tobytes() == array.tobytes() for name, array in state.items())
    packs = sum(info.size for info in trial.store.list("packs/"))
    assert sum(one.size for one in watched.log if one.key.startswith("packs/")) <= packs


def test_what_is_kept_of_a_pass_is_right(large: Any) -> None:
    """The memory that a chunk comes in is used again for the next one: what is kept must be its own."""
    trial, state = large
    watched = FaultyStore(trial.store, Faults())
    tensors = trial.open(store=watched).load("large")
    keys = {"rows": (slice(None), slice(0, 999)), "wide": (slice(None), slice(0, 8)), "long": slice(0, 9 * MIB)}
    found = tensors.read_all(keys=keys)
    assert all(found[name].tobytes() == state[name][key].tobytes() for name, key in keys.items())
    requests = len(watched.log)
    assert tensors["rows"][3, 500:999].tobytes() == state["rows"][3, 500:999].tobytes()
    assert len(watched.log) == requests
    for name, array in state.items():
        assert tensors[name][...].tobytes() == array.tobytes()


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_ranks_read_their_shards(large: Any, dim: int) -> None:
    trial, state = large
    tensor = trial.open().load("large")["rows"]
    parts = [tensor.shard(rank, 4, dim) for rank in range(4)]
    assert np.concatenate(parts, axis=dim).tobytes() == state["rows"].tobytes()


def test_a_delta_is_read_with_its_base_and_nothing_else(tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=False, pack_bytes=MIB)
    rng = np.random.default_rng(4)
    before = rng.normal(size=(12, 256, 1024)).astype("f4")  # 12 MiB: three chunks
    after = before * (1 + rng.normal(size=before.shape).astype("f4") * np.float32(1e-6))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for step, array in enumerate((before, after)):
        save_file({"w": array}, folder / "model.safetensors")
        trial.open().save("run", folder, step=step, verify=False)
    watched = FaultyStore(trial.store, Faults())
    vault = trial.open(store=watched)
    root = vault.find("run@step=1")
    assert root.stats["raw_delta"] >= after.nbytes - 4 * MIB
    tensor = vault.load("run@step=1")["w"]
    assert tensor[5].tobytes() == after[5].tobytes()
    packs = [one for one in watched.log if one.verb == "get_ranges" and one.key.startswith("packs/")]
    assert sum(one.size for one in packs) < 2 * 4 * MIB
    assert len(packs) == 2


def test_fortran_order_of_npy_files(tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    array = np.asfortranarray(noise((6, 7, 5), "f4", 5))
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "a.npy", array)
    np.save(folder / "b.npy", array.copy(order="C"))
    trial.open().save("arrays", folder, verify=False)
    tensors = trial.open().load("arrays")
    for name in tensors:
        for key in (..., 3, (slice(None), 2), (..., 4), (slice(1, 5), slice(None, None, -2), slice(1, 3))):
            assert tensors[name][key].tobytes() == array[key].tobytes()
            target = np.empty(array[key].shape, "f4")
            assert tensors[name].read_into(target, key).tobytes() == array[key].tobytes()
        assert tensors.read_all([name])[name].tobytes() == array.tobytes()
        assert tensors.read_all(into={name: np.empty((6, 7, 5), "f4")})[name].tobytes() == array.tobytes()


def test_holes_are_zeros_in_the_callers_memory(tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    path, size = tmp_path / "sparse.npy", 3 * MIB
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (size // 4,)})
    with path.open("wb") as file:
        file.write(head.getvalue())
        file.seek(2 * MIB)
        file.write(np.ones(10, "f4").tobytes())
        file.truncate(len(head.getvalue()) + size)
    trial.open().save("sparse", path, verify=False)
    expected = np.load(path)
    root = trial.open().find("sparse")
    assert root.stats["hole"] > MIB
    [tensor] = trial.open().load("sparse").values()
    target = np.full(expected.shape, np.nan, "f4")
    assert np.array_equal(tensor.read_into(target), expected)
    assert np.array_equal(tensor[::1000], expected[::1000])


def test_damage_gives_no_bytes() -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=True)
    array = noise((2 * MIB,), "u1", 6)
    trial.open().save("one", {"w": array}, verify=False)
    [pack] = [info.key for info in trial.store.list("packs/")]
    stored = bytearray(trial.store.get(pack))
    stored[MIB] ^= 1
    trial.store.put(pack, bytes(stored))
    tensors = trial.open().load("one")
    for read in (lambda: tensors["w"][5:9], lambda: tensors.read_all(), lambda: tensors["w"].shard(0, 7)):
        with pytest.raises(DamageError):
            read()
