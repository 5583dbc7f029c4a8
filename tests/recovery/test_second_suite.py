"""The second suite: from the beginning, or switched on later, with everything older still readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import DamageError, RefusedError, UnsupportedFormatError, UntrustedError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, next_save_works, read_tree
from holdfast.testing.workspace import TrialVault, own_memory
from holdfast.trust.signing import signing_suite
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.access.resealing import reseal
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.format.header import Header
from holdfast.vault.format.names import INDEX, LEASES, PACKS, PARTS, SNAPSHOTS
from holdfast.vault.vault import open_vault

from .sample_vault import ASSET, train, write_state

READER = Path(__file__).parents[1] / "compat" / "independent_reader.py"


def new_vault(suite: Suite, store: MemoryStore | LocalStore | None = None, passphrase: str | None = None) -> TrialVault:
    from holdfast.clock import SYSTEM_CLOCK

    store = store or MemoryStore()
    made = create_vault(
        store, suite=suite, label="keeper", passphrase=passphrase, clock=SYSTEM_CLOCK, keep=lambda credential: None
    )
    return TrialVault(store, made.keeper, pack_bytes=24 << 10)


def suites(trial: TrialVault, prefix: str) -> set[int]:
    return {Header.parse(trial.store.get(info.key), info.key).suite for info in trial.store.list(prefix)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_state(folder, seed=1)
    return folder


def test_from_the_beginning(source: Path, tmp_path: Path) -> None:
    trial = new_vault(Suite.HYBRID_2, passphrase="correct horse")
    writer, reader = admit_writer(trial.open().handle, "gpu-1"), admit_reader(trial.open().handle, "auditor")
    expected = {}
    for step, credential in enumerate((None, writer, None)):
        report = trial.open(credential).save(ASSET, source, step=step)
        assert report.validated
        expected[report.root.id] = read_tree(source)
        train(source, seed=step)
    for prefix in (PACKS, PARTS, SNAPSHOTS, INDEX):
        assert suites(trial, prefix) == {2}
    every_snapshot_restores(trial.open(), expected, tmp_path / "keeper")
    every_snapshot_restores(open_vault(trial.store, reader), expected, tmp_path / "reader")
    every_snapshot_restores(open_vault(trial.store, None, passphrase="correct horse"), expected, tmp_path / "phrase")
    check_is_clean(trial.open())
    assert {signing_suite(one.public) for one in trial.open().handle.keys.config.signers} == {Suite.HYBRID_2}
    revoke_signer(trial.open().handle, "gpu-1")
    with pytest.raises(UntrustedError):
        trial.open(writer).save(ASSET, source)


@pytest.fixture
def mixed(source: Path) -> tuple[TrialVault, dict, dict]:
    """A vault of the first suite, with members; one snapshot; the second suite; one snapshot by each old member."""
    trial = new_vault(Suite.HYBRID_1)
    old = {"writer": admit_writer(trial.open().handle, "gpu-1"), "reader": admit_reader(trial.open().handle, "auditor")}
    expected = {}
    tiny = source.parent / "tiny"
    tiny.mkdir()
    np.save(tiny / "a.npy", np.arange(3))
    expected[trial.open().save("tiny", tiny).root.id] = read_tree(tiny)  # packs smaller than the new preamble
    expected[trial.open().save(ASSET, source, step=1).root.id] = read_tree(source)
    rotate_epoch(trial.open().handle, suite=Suite.HYBRID_2)
    for step, credential in enumerate((None, old["writer"]), 2):
        train(source, seed=step)
        expected[trial.open(credential).save(ASSET, source, step=step).root.id] = read_tree(source)
    return trial, old, expected


def test_switched_on_later(mixed: tuple, source: Path, tmp_path: Path) -> None:
    """Whoever was a member before goes on, with the key that there is."""
    trial, old, expected = mixed
    assert suites(trial, PACKS) == suites(trial, SNAPSHOTS) == {1, 2}
    assert min(info.size for info in trial.store.list(PACKS)) < 1745 + 200
    new = {"writer": admit_writer(trial.open().handle, "gpu-2"), "reader": admit_reader(trial.open().handle, "new")}
    train(source, seed=9)
    expected[trial.open(new["writer"]).save(ASSET, source, step=4).root.id] = read_tree(source)
    for name, credential in {"keeper": trial.keeper, "old": old["reader"], "new": new["reader"]}.items():
        with own_memory(tmp_path / f"memory of {name}"):  # nothing remembered: footers and index are read anew
            every_snapshot_restores(open_vault(trial.store, credential), expected, tmp_path / name)
    check_is_clean(trial.open())
    with own_memory(tmp_path / "without an index"):
        for info in list(trial.store.list(INDEX)):
            trial.store.delete(info.key)
        every_snapshot_restores(trial.open(), expected, tmp_path / "without")
    next_save_works(trial.open(), ASSET, source, tmp_path / "next")


def test_programs_that_have_the_vault_open(source: Path, tmp_path: Path) -> None:
    """Writers go on, sealed to the new epoch; readers read what they could before."""
    trial = new_vault(Suite.HYBRID_1)
    writing = trial.open(admit_writer(trial.open().handle, "gpu-1"))
    reading = trial.open()
    expected = {writing.save(ASSET, source, step=1).root.id: read_tree(source)}
    rotate_epoch(trial.open().handle, suite=Suite.HYBRID_2)
    every_snapshot_restores(reading, expected, tmp_path / "reading")
    train(source, seed=1)
    expected[writing.save(ASSET, source, step=2).root.id] = read_tree(source)
    assert suites(trial, SNAPSHOTS) == {1, 2}
    every_snapshot_restores(trial.open(), expected, tmp_path / "out")
    check_is_clean(trial.open())


def test_old_packs_move_into_the_second_suite(mixed: tuple, tmp_path: Path) -> None:
    trial, old, expected = mixed
    report = reseal(trial.open().handle, safety=NONE)
    assert report.condemned == report.packs > 0
    collect(trial.open().handle, CollectOptions(safety=NONE))
    assert suites(trial, PACKS) == {2}
    every_snapshot_restores(trial.open(), expected, tmp_path / "out")
    every_snapshot_restores(open_vault(trial.store, old["reader"]), expected, tmp_path / "old")
    check_is_clean(trial.open())


def test_collecting_a_mixed_vault(mixed: tuple, tmp_path: Path) -> None:
    trial, _, expected = mixed
    collect(trial.open().handle, CollectOptions(safety=NONE, rewrite_below=1.0))
    every_snapshot_restores(trial.open(), expected, tmp_path / "out")
    check_is_clean(trial.open())


def test_no_suite_is_lowered() -> None:
    trial = new_vault(Suite.HYBRID_2)
    before = contents_of(trial.store)
    with pytest.raises(RefusedError, match="never lowered"):
        rotate_epoch(trial.open().handle, suite=Suite.HYBRID_1)
    assert contents_of(trial.store) == before
    assert rotate_epoch(trial.open().handle) == 2 and trial.open().handle.keys.suite is Suite.HYBRID_2


def test_this_machine_notices_a_lowered_suite(tmp_path: Path) -> None:
    environment = {name: str(tmp_path / name) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    place = str(tmp_path / "vault")
    vault = create(place, environment=environment).vault
    before = (tmp_path / "vault/config/0000000001").read_bytes()
    rotate_epoch(vault.handle, suite=Suite.HYBRID_2)
    assert open_at(place, environment=environment).handle.keys.suite is Suite.HYBRID_2
    (tmp_path / "vault/config/0000000002").unlink()
    assert (tmp_path / "vault/config/0000000001").read_bytes() == before
    with pytest.raises(UntrustedError):
        open_at(place, environment=environment)


@pytest.mark.parametrize("prefix", [PACKS, PARTS, SNAPSHOTS, INDEX])
def test_another_suite_in_a_header_is_damage(mixed: tuple, prefix: str, tmp_path: Path) -> None:
    from blake3 import blake3

    from holdfast.vault.format.documents import read_document
    from holdfast.vault.format.header import Kind
    from holdfast.vault.format.packs import PackOpener

    trial, _, _ = mixed
    keys = trial.open().handle.keys
    for info in trial.store.list(prefix):
        data = bytearray(trial.store.get(info.key))
        for suite, error in ((1, DamageError), (2, DamageError), (0, DamageError), (3, UnsupportedFormatError)):
            if data[10] == suite:
                continue
            changed = bytes(data[:10]) + bytes([suite]) + bytes(data[11:-32])
            changed += bytes(data[-32:]) if prefix == PACKS else blake3(changed).digest()
            with pytest.raises((error, UntrustedError)):
                if prefix == PACKS:
                    PackOpener(keys, info.key[-64:], changed)  # type: ignore[arg-type]
                else:
                    kind = {PARTS: Kind.PART, SNAPSHOTS: Kind.ROOT, INDEX: Kind.INDEX}[prefix]
                    read_document(keys, kind, info.key, changed)


def test_the_independent_reader_restores_it(source: Path, tmp_path: Path) -> None:
    from holdfast.trust.credentials import write_credential

    store = LocalStore(tmp_path / "vault")
    trial = new_vault(Suite.HYBRID_1, store)
    trial.open().save(ASSET, source, step=1)
    rotate_epoch(trial.open().handle, suite=Suite.HYBRID_2)
    train(source, seed=1)
    trial.open(admit_writer(trial.open().handle, "gpu-2")).save(ASSET, source, step=2)
    for number, credential in enumerate((trial.keeper, admit_reader(trial.open().handle, "new"))):
        key, target = tmp_path / f"{number}.key", tmp_path / f"out-{number}"
        write_credential(credential, key)
        subprocess.run([sys.executable, READER, tmp_path / "vault", key, ASSET, target], check=True, timeout=60)
        assert read_tree(target) == read_tree(source)


def test_leases_of_both_suites_are_seen(mixed: tuple) -> None:
    trial, _, _ = mixed
    assert suites(trial, LEASES) <= {1, 2}
