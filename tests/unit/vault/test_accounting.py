"""Where a snapshot's bytes went: every table adds up to the same, and to what the save itself took down."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.stores.memory import MemoryStore
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.saving.memory import AnchorAge, memory_path, recall, remember
from holdfast.vault.snapshots.accounting import NO_TENSOR, Accounts, Cost, _Pieces, account_for

_SHAPE = (512, 700)


@pytest.fixture
def vault(request: pytest.FixtureRequest) -> TrialVault:
    return new_trial_vault(MemoryStore(), encrypted=getattr(request, "param", True), pack_bytes=1 << 20)


def write_state(folder: Path, step: int) -> None:
    """A checkpoint in which everything happens: weights that drift, moments that are new each time, a frozen tensor,
    a copy of it, noise, text, a hole, an empty file.
    """
    folder.mkdir(exist_ok=True)
    drift = np.random.default_rng(step)
    start = np.random.default_rng(0)
    weights = {f"layers.{i}.weight": start.normal(0, 0.02, _SHAPE).astype("f4") for i in range(2)}
    weights = {name: (w + step * 1e-6 * drift.normal(size=w.shape)).astype("f4") for name, w in weights.items()}
    save_file(weights, folder / "model.safetensors")
    save_file({"exp_avg": drift.normal(0, 1e-3, _SHAPE).astype("f4")}, folder / "optimizer.safetensors")
    frozen = {"base": start.normal(0, 0.02, (300, 512)).astype("f2"), "ids": np.arange(50_000, dtype="i8")}
    save_file(frozen, folder / "frozen.safetensors")
    save_file(frozen, folder / "frozen_copy.safetensors")
    (folder / "noise.bin").write_bytes(np.random.default_rng(7).bytes(300_000))
    (folder / "log.txt").write_text(f"step {step}\n" * 20_000)
    (folder / "empty").touch()
    with (folder / "sparse.img").open("wb") as file:
        file.write(b"head" * 20_000)
        file.seek(8 << 20)
        file.write(b"tail" * 20_000)


def save_steps(vault: TrialVault, folder: Path, steps: Sequence[int]) -> list[Root]:
    roots = []
    for step in steps:
        write_state(folder, step)
        roots.append(vault.open().save("run", folder, step=step).root)
    return roots


def accounts_of(vault: TrialVault, root: Root) -> Accounts:
    return account_for(vault.open().handle, root)


def total_of(table: Mapping[object, Cost]) -> Cost:
    total = Cost()
    for cost in table.values():
        total = total.plus(cost)
    return total


def check_sums(accounts: Accounts, root: Root) -> None:
    """All tables are the same bytes, taken apart in different ways."""
    total = accounts.total
    assert total.bytes == sum(link.size for link in root.parts) == root.stats["raw"]
    for table in (accounts.mechanisms, accounts.components, accounts.files):
        assert total_of(table) == total  # type: ignore[arg-type] # the names differ in type
    assert total_of(accounts.dtypes)[1:] == total[1:]  # type: ignore[arg-type]
    in_tensors = total_of(accounts.tensors)  # type: ignore[arg-type]
    outside = accounts.dtypes.get(NO_TENSOR, Cost())
    assert tuple(one + other for one, other in zip(in_tensors, outside, strict=True))[1:] == total[1:]
    for cost in accounts.mechanisms.values():
        assert 0 <= cost.new_bytes <= cost.bytes
        assert 0 <= cost.new_stored <= cost.stored


@pytest.mark.parametrize("vault", [True, False], indirect=True, ids=["encrypted", "plain"])
def test_a_save_with_everything_in_it_adds_up_to_what_it_took_down(vault: TrialVault, tmp_path: Path) -> None:
    first, second = save_steps(vault, tmp_path / "ckpt", [1, 2])
    for root in (first, second):
        accounts = accounts_of(vault, root)
        check_sums(accounts, root)
        assert accounts.disagreements == []
        stats = root.stats
        for codec in ("raw", "zstd", "planes", "delta"):
            cost = accounts.mechanisms.get(codec, Cost())
            assert (cost.new_bytes, cost.new_stored) == (stats[f"raw_{codec}"], stats[f"stored_{codec}"])
        assert accounts.overhead + accounts.total.new_stored == stats["stored"]
    before, after = accounts_of(vault, first), accounts_of(vault, second)
    assert {"raw", "zstd", "planes", "repeated", "hole"} <= before.mechanisms.keys()
    assert "delta" not in before.mechanisms
    assert after.mechanisms["delta"].new_bytes == after.mechanisms["delta"].bytes > 2_000_000
    assert after.files[b"noise.bin"] == Cost(1, 300_000, 300_000 + 16, 0, 0)
    assert after.files[b"frozen.safetensors"].new_stored == 0 < after.files[b"frozen.safetensors"].stored
    assert after.files[b"frozen_copy.safetensors"].stored == 0
    assert after.files[b"empty"] == Cost()
    assert {"f32", "f16", "i64", NO_TENSOR} == after.dtypes.keys()
    assert after.mechanisms["hole"].bytes > 7 << 20
    stored = [cost.stored for cost in after.files.values()]
    assert stored == sorted(stored, reverse=True)


def test_the_same_again_adds_nothing(vault: TrialVault, tmp_path: Path) -> None:
    save_steps(vault, tmp_path / "ckpt", [1, 2])
    again = vault.open().save("run", tmp_path / "ckpt", step=3).root
    accounts = accounts_of(vault, again)
    check_sums(accounts, again)
    assert (accounts.total.new_bytes, accounts.total.new_stored) == (0, 0)
    assert accounts.disagreements == []


def test_what_another_asset_stored_is_not_new(tmp_path: Path) -> None:
    """No parent has it: that its pack holds other things, too, tells."""
    vault = new_trial_vault(MemoryStore())
    save_steps(vault, tmp_path / "ckpt", [1])
    for name in ("model.safetensors", "log.txt"):
        (tmp_path / "ckpt" / name).write_bytes(b"another one" * 30_000 + name.encode())
    other = vault.open().save("other", tmp_path / "ckpt").root
    accounts = accounts_of(vault, other)
    check_sums(accounts, other)
    assert accounts.disagreements == []
    assert accounts.files[b"noise.bin"].new_stored == 0 < accounts.files[b"noise.bin"].stored
    assert accounts.files[b"log.txt"].new_stored > 0


def test_without_the_parent_the_newest_packs_are_the_snapshots_own(vault: TrialVault, tmp_path: Path) -> None:
    """A pack of the parent of which everything is shared looks like the snapshot's own, but is older."""
    folder = tmp_path / "ckpt"
    folder.mkdir()
    noise = np.random.default_rng(1).bytes(200_000)
    (folder / "a.bin").write_bytes(noise)
    first = vault.open().save("run", folder).root
    (folder / "b.bin").write_bytes(noise[::-1])
    second = vault.open().save("run", folder).root
    assert accounts_of(vault, second).disagreements == []
    opened = vault.open()
    opened.apply_drop(opened.plan_drop(first.id))
    notes = NoteTaker()
    accounts = account_for(vault.open(progress=notes).handle, second)
    check_sums(accounts, second)
    assert accounts.disagreements == []
    assert accounts.files[b"a.bin"].new_stored == 0 < accounts.files[b"b.bin"].new_stored
    assert any(f"parent {first.id}" in note for note in notes.notes)


def test_chunks_of_lost_packs_are_missing_not_an_error(vault: TrialVault, tmp_path: Path) -> None:
    (root,) = save_steps(vault, tmp_path / "ckpt", [1])
    handle = vault.open().handle
    lost = max(handle.index.packs(), key=lambda pack: handle.index.packs()[pack])
    handle.index.forget_pack(lost)
    accounts = account_for(handle, root)
    check_sums(accounts, root)
    assert accounts.mechanisms["missing"].bytes > 0
    assert accounts.mechanisms["missing"].stored == 0
    assert accounts.disagreements


class _Watched(ReadOnlyStore):
    """Notes what is read from packs."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.read: dict[str, int] = {}

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if key.startswith("packs/"):
            self.read[key] = self.read.get(key, 0) + sum(length for _, length in ranges)
        return super().get_ranges(key, ranges)


def test_a_restore_reads_what_was_told(vault: TrialVault, tmp_path: Path) -> None:
    root = save_steps(vault, tmp_path / "ckpt", [1, 2, 3])[-1]
    store = vault.store
    assert isinstance(store, MemoryStore)
    watched = _Watched(store)
    accounts = accounts_of(vault, root)
    told, repeated = accounts.restore, accounts.mechanisms["repeated"].chunks
    assert told.bases
    opened = vault.open(store=watched)
    opened.handle.workers = 1
    opened.restore(root.id, tmp_path / "back")
    assert len(watched.read) == told.packs
    assert sum(store.head(key).size for key in watched.read) == told.pack_bytes
    # Beside chunks there are the packs' preambles, small gaps, and bases that two batches read.
    least = told.stored + told.base_stored
    assert least <= sum(watched.read.values()) <= 1.5 * least
    assert told.chunks == sum(len(entry.chunks) // 32 for entry in vault.open().files(root)) - repeated


def test_tensors_that_overlap_share_no_byte_and_gaps_belong_to_none() -> None:
    def tensor(name: str, offset: int, size: int) -> TensorRecord:
        return TensorRecord(name, "u8", [size], offset, size, False, None, 0)

    entry = Entry(b"f", "file", 0, 0, 100, tensors=[tensor("b", 40, 30), tensor("a", 10, 40), tensor("c", 45, 5)])
    pieces = _Pieces(entry)
    spans = [(0, 45), (45, 5), (50, 50)]
    found = [[(t and t.name, low, high) for t, low, high in pieces.within(*span)] for span in spans]
    assert found == [
        [(None, 0, 10), ("a", 10, 45)],
        [("a", 0, 5)],
        [("b", 0, 20), (None, 20, 50)],
    ]


def test_ages_are_told_of_the_snapshot_that_this_machine_saved_last(vault: TrialVault, tmp_path: Path) -> None:
    first, second = save_steps(vault, tmp_path / "ckpt", [1, 2])
    handle = vault.open().handle
    memory = memory_path(handle.keys, "run", os.environ)
    assert memory is not None
    known = recall(memory)
    assert known is not None
    ages = {bytes(32): AnchorAge(3, 900), bytes(31) + b"1": AnchorAge(1, 500)}
    remember(memory, second.id, known.content, known.parts, [], ages)
    assert account_for(handle, second).ages == (2, 2.0)
    assert account_for(handle, first).ages is None
