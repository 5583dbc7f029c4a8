"""Collecting beside somebody who may write to the store, and wants others to lose something."""

from __future__ import annotations

import random
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from safetensors.numpy import save_file

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError, DamageError, RefusedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.signing import SIGNATURE_SIZE
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.collecting.safety import FULL, NONE
from holdfast.vault.collecting.trash import close, condemn, read_trash, rescue
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import INDEX, LEASES, PACKS, SNAPSHOTS, TRASH
from holdfast.vault.format.packs import PackBuilder, places_of
from holdfast.vault.format.records import Condemned, Lease, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key
from holdfast.vault.regions.model import BYTES
from holdfast.vault.saving import preparing

DAY = 24 * 3600.0
HOUR = 3600.0
KEEP_PACKS = CollectOptions(FULL, rewrite_below=0.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def trial(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> TrialVault:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return new_trial_vault(MemoryStore(clock), encrypted=request.param, clock=clock)


_NUMBER = count(1)


def a_writer(trial: TrialVault) -> Handle:
    """Somebody who may write. A handle of its own."""
    return trial.open(admit_writer(trial.open().handle, f"writer-{next(_NUMBER)}")).handle


def write(folder: Path, seed: int) -> Path:
    source = folder / f"source{seed}"
    source.mkdir(exist_ok=True)
    for number in range(3):
        (source / f"{number}.bin").write_bytes(random.Random(seed * 100 + number).randbytes(20_000))
    return source


def keys(trial: TrialVault, prefix: str) -> set[str]:
    return {info.key for info in trial.store.list(prefix)}


def put_lease(by: Handle, session: str, generation: int, state: str) -> None:
    key = f"{LEASES}{session}/{generation:010d}"
    record = encode_record(Lease(session, "saving", "somebody", state, by.clock.now_ns()))
    by.store.create(key, write_document(by.keys, Kind.LEASE, key, record))


def put_trash(by: Handle, collection: str, generation: int, keys: list[str]) -> None:
    key = f"{TRASH}{collection}/{generation:010d}"
    record = encode_record(Condemned(collection, "rescued", keys, by.clock.now_ns()))
    by.store.create(key, write_document(by.keys, Kind.TRASH, key, record))


@pytest.mark.parametrize("rewrite_below", [0.0, 0.5])
def test_junk_under_the_names_of_chunks_in_a_pack_that_no_index_lists(
    trial: TrialVault, tmp_path: Path, clock: ManualClock, rewrite_below: float
) -> None:
    saved = trial.open().save("run", write(tmp_path, 1)).root
    [honest] = keys(trial, PACKS)
    hostile = a_writer(trial)
    pack = pack_of_key(honest)
    table = hostile.index.table(pack) if pack is not None else None
    assert table is not None, "writers read the index"
    builder = PackBuilder(hostile.keys, 1 << 20)
    for chunk, place in places_of(table, hostile.keys.suite, honest):
        builder.add(chunk, b"j" * place.raw, raw=place.raw, codec=0, element=BYTES)
    filling = b"x" * 50_000  # the smaller pack is looked at first
    builder.add(hostile.keys.names.chunk_id(filling), filling, raw=len(filling), codec=0, element=BYTES)
    junk = builder.finish()
    hostile.store.put(junk.key, bytes(junk.data))
    for _ in range(3):
        clock.sleep(DAY + 1)
        collect(trial.open().handle, CollectOptions(FULL, rewrite_below))
    assert honest in keys(trial, PACKS)
    every_snapshot_restores(trial.open(), {saved.id: read_tree(tmp_path / "source1")}, tmp_path / "scratch")


@pytest.mark.parametrize("generation", [2, 1_000_000, 9_999_999_999])
def test_nobody_ends_the_lease_of_another(trial: TrialVault, clock: ManualClock, generation: int) -> None:
    victim = a_writer(trial)
    hostile = a_writer(trial)
    with HeldLease(victim, "saving") as lease:
        put_lease(hostile, lease.session, generation, "ended")
        clock.sleep(1000)
        lease.keep()  # the next generation is taken
        [seen] = seen_leases(trial.open().handle)
        assert seen.session == lease.session and not seen.is_over and seen.start_ns == lease.opened_ns
        assert seen.is_active(clock.now_ns())


def test_nobody_hides_the_lease_of_another(trial: TrialVault) -> None:
    with HeldLease(a_writer(trial), "saving") as lease:
        data = trial.store.get(f"{LEASES}{lease.session}/0000000001")
        end = len(data) - 32 - SIGNATURE_SIZE
        stranger = data[: end - 16] + b"\1" * 16 + data[end:-32]
        trial.store.create(f"{LEASES}{lease.session}/0000000002", stranger + blake3(stranger).digest())
        [seen] = seen_leases(trial.open().handle)
        assert seen.session == lease.session and not seen.is_over


def test_a_lease_that_somebody_keeps_writing_into(trial: TrialVault, clock: ManualClock) -> None:
    hostile = a_writer(trial)
    with HeldLease(a_writer(trial), "saving") as lease:
        for generation in range(2, 60):
            put_lease(hostile, lease.session, generation, "ended")
        clock.sleep(1000)
        with pytest.raises(ConflictError, match="somebody else writes the lease"):
            lease.keep()


def test_a_lease_lasts_no_longer_where_the_machine_was_suspended(trial: TrialVault) -> None:
    class Suspended(ManualClock):
        def suspend(self, seconds: float) -> None:
            self._now_ns += round(seconds * 1e9)  # the monotonic clock stands still

    machine = Suspended()
    handle = trial.open().handle
    handle.clock = machine
    with HeldLease(handle, "saving") as lease:
        lease.require()
        machine.suspend(3 * DAY)
        with pytest.raises(ConflictError, match="out of touch"):
            lease.require()


def test_a_keeper_that_stays_open_counts_the_lease_of_a_new_writer(trial: TrialVault, tmp_path: Path) -> None:
    keeper = trial.open()
    first = keeper.save("run", write(tmp_path, 1)).root
    keeper.save("run", write(tmp_path, 2))
    keeper.apply_drop(keeper.plan_drop(first.id))
    with HeldLease(a_writer(trial), "saving"):
        assert not collect(keeper.handle, CollectOptions(NONE, rewrite_below=0.0)).deleted.objects


def test_a_leap_does_not_let_a_rescue_and_a_closing_win_both(trial: TrialVault) -> None:
    handle = trial.open().handle
    hostile = a_writer(trial)
    name = "packs/ab/" + "ab" * 32
    condemn(handle, [name])
    [seen] = read_trash(handle).collections
    put_trash(hostile, seen.id, 5, [])
    late = rescue(handle, read_trash(handle), [name])
    assert close(handle, seen, [name]) == (name in late)


@pytest.mark.parametrize("generation", [3, 1_000_001, 9_999_999_999])
def test_a_leap_does_not_keep_a_collection_from_ending(trial: TrialVault, clock: ManualClock, generation: int) -> None:
    handle = trial.open().handle
    hostile = a_writer(trial)
    condemn(handle, ["packs/ab/" + "ab" * 32])
    [seen] = read_trash(handle).collections
    put_trash(hostile, seen.id, generation, [])
    clock.sleep(DAY + 1)
    collect(handle)
    clock.sleep(HOUR)
    put_trash(hostile, seen.id, generation + 1 if generation < 10 else 7, [])  # nor is it closed for longer by it
    clock.sleep(HOUR + 1)
    collect(handle)
    assert not read_trash(handle).collections


def test_a_writer_who_says_nonsense_of_a_collection_stops_nobody(trial: TrialVault, tmp_path: Path) -> None:
    put_trash(a_writer(trial), "ab" * 8, 1, ["config/0000000001"])
    trial.open().save("run", write(tmp_path, 1))
    collect(trial.open().handle)


def test_what_cannot_be_read_of_a_collection_stops_saves_and_says_what_to_do(trial: TrialVault, tmp_path: Path) -> None:
    trial.store.create(f"{TRASH}{'ab' * 8}/0000000001", b"junk")
    with pytest.raises(DamageError) as caught:
        trial.open().save("run", write(tmp_path, 1))
    assert "take the object away" in caught.value.hint


def test_a_root_of_a_revoked_writer_can_be_given_up(
    trial: TrialVault, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = trial.open()
    kept = keeper.save("run", write(tmp_path, 1)).root
    trainer = trial.open(admit_writer(keeper.handle, "trainer"))
    clock.sleep(1)
    revoke_signer(keeper.handle, "trainer")
    clock.sleep(1)
    before = keys(trial, SNAPSHOTS)
    monkeypatch.setattr(preparing, "renew_keys", lambda handle, what: None)  # it does not look, or does not care
    trainer.save("run", write(tmp_path, 2), verify=False)
    monkeypatch.undo()
    [doubtful] = keys(trial, SNAPSHOTS) - before
    clock.sleep(DAY + 1)
    with pytest.raises(RefusedError, match="nothing is collected") as caught:
        collect(trial.open().handle)
    assert "--give-up" in caught.value.hint
    assert collect(trial.open().handle, CollectOptions(give_up=frozenset([doubtful]))).condemned.objects == 2
    every_snapshot_restores(trial.open(), {kept.id: read_tree(tmp_path / "source1")}, tmp_path / "scratch")


@pytest.mark.parametrize("is_listed", [True, False])
def test_the_base_of_a_delta_in_a_pack_whose_footer_is_damaged(
    trial: TrialVault, tmp_path: Path, clock: ManualClock, is_listed: bool
) -> None:
    """The index still tells what is in it: the snapshot can be read, and goes on to be."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(300, 256)).astype("f4")
    save_file({"a": weights}, tmp_path / "w.safetensors")
    vault = trial.open()
    first = vault.save("run", tmp_path / "w.safetensors").root
    before = keys(trial, PACKS)
    save_file({"a": weights * (1 + 1e-5 * rng.normal(size=weights.shape).astype("f4"))}, tmp_path / "w.safetensors")
    second = vault.save("run", tmp_path / "w.safetensors").root
    [delta] = keys(trial, PACKS) - before
    vault.apply_drop(vault.plan_drop(first.id))
    damaged = bytearray(trial.store.get(delta))
    damaged[-30] ^= 1
    trial.store.put(delta, bytes(damaged))
    trial.open().verify(second.id)
    if not is_listed:
        for key in keys(trial, INDEX):
            trial.store.delete(key)
        shutil.rmtree(tmp_path / "XDG_CACHE_HOME", ignore_errors=True)
        with pytest.raises(RefusedError, match="footer cannot be read") as caught:
            collect(trial.open().handle)
        assert caught.value.object_name == delta
        collect(trial.open().handle, CollectOptions(give_up=frozenset([delta])))
        return
    for _ in range(3):
        clock.sleep(DAY + 1)
        collect(trial.open().handle)
    trial.open().verify(second.id)


def test_what_is_said_of_a_sound_vault(trial: TrialVault, tmp_path: Path) -> None:
    """None of these precautions shows where nobody does any harm."""
    trial.open().save("run", write(tmp_path, 1))
    assert not collect(trial.open().handle).notes
    check_is_clean(trial.open())
