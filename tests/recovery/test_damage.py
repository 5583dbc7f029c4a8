"""Any damage to any object: right bytes, or an error that names it. The long form is `campaigns/damage.py`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest

from holdfast.errors import (
    CredentialError,
    DamageError,
    FailedError,
    NotFoundError,
    UnsupportedFormatError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import (
    Delete,
    Flip,
    FutureVersion,
    Replace,
    Resealed,
    Swap,
    put_back,
)
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import every_snapshot_restores
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.format.names import INDEX
from holdfast.vault.index.objects import read_index, write_index

from .judging import WHOLE_OBJECT_DAMAGES, judge, must_be_found
from .sample_vault import ASSET, Sample, build_sample

PREFIXES = ("config/", "packs/", "index/", "parts/", "snapshots/", "refs/")


@pytest.fixture(scope="module", params=[True, False], ids=["encrypted", "plain"])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    work = tmp_path_factory.mktemp("sample")
    with own_memory(work / "state"):
        return build_sample(work, encrypted=request.param)


def test_an_undamaged_vault_is_sound(sample: Sample, tmp_path: Path) -> None:
    """Else nothing below would mean anything."""
    key = sample.keys("packs/")[0]
    verdict = judge(sample, Replace(key, sample.contents[key]), tmp_path)
    assert verdict.errors == [] and verdict.hurt == set() and not verdict.found
    stats = [listed.root.stats for listed in sample.trial.open().snapshots() if listed.root]
    assert sum(one["raw_delta"] for one in stats) > 0, "the sample holds no deltas"
    assert len(sample.keys("packs/")) >= 6 and len(sample.keys("config/")) == 2


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_changed_byte_anywhere(sample: Sample, tmp_path: Path, prefix: str) -> None:
    random = Random(f"flip {prefix}")
    for number in range(6):
        key = random.choice(sample.keys(prefix))
        size = len(sample.contents[key])
        offset = [random.randrange(size), random.randrange(64), size - 1 - random.randrange(64)][number % 3]
        assert judge(sample, Flip(key, offset, 1 << random.randrange(8)), tmp_path).found


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_whole_object_damage(sample: Sample, tmp_path: Path, prefix: str) -> None:
    """Empty, short, long, gone, swapped with another, of another vault, of a future version."""
    random = Random(f"whole {prefix}")
    for make in WHOLE_OBJECT_DAMAGES:
        damage = make(sample, random.choice(sample.keys(prefix)), random)
        verdict = judge(sample, damage, tmp_path)
        assert verdict.found or not must_be_found(damage, sample), f"check did not find {damage}"
        assert verdict.noted or not prefix.startswith("index/"), f"check said nothing about {damage}"


@pytest.mark.parametrize("prefix", ["packs/", "parts/", "refs/", "index/"])
def test_every_object_missed(sample: Sample, tmp_path: Path, prefix: str) -> None:
    for key in sample.keys(prefix):
        damage = Delete(key)
        verdict = judge(sample, damage, tmp_path)
        assert verdict.found == must_be_found(damage, sample), f"{damage}: {verdict.report}"


@pytest.mark.parametrize("pair", [("packs/", "index/"), ("parts/", "snapshots/"), ("refs/", "snapshots/")], ids=str)
def test_objects_of_different_kinds_swapped(sample: Sample, tmp_path: Path, pair: tuple[str, str]) -> None:
    assert judge(sample, Swap(sample.keys(pair[0])[0], sample.keys(pair[1])[0]), tmp_path).found


def test_every_header_field_altered_on_purpose(sample: Sample, tmp_path: Path) -> None:
    """With the checksum made right again, each byte of the header is still bound by seals and signatures."""
    for prefix in ("config/", "parts/", "snapshots/", "refs/"):
        key = sample.keys(prefix)[-1]
        for offset in (0, 8, 9, 10, 12, 31):
            assert judge(sample, Resealed(key, offset, 1 + offset * 7 % 255), tmp_path).found, (key, offset)


@pytest.mark.parametrize("prefix", ["config/", "parts/", "snapshots/", "refs/"])
def test_a_future_version_says_so(sample: Sample, tmp_path: Path, prefix: str) -> None:
    keys = sample.keys(prefix)
    verdicts = [judge(sample, FutureVersion(key), tmp_path) for key in (keys if prefix == "refs/" else keys[-2:])]
    errors = [error for verdict in verdicts for error in verdict.errors]
    assert errors and all(verdict.found for verdict in verdicts)
    assert all(isinstance(error, UnsupportedFormatError) and "newer" in error.hint for error in errors)


def test_the_whole_config_is_gone(sample: Sample, tmp_path: Path) -> None:
    """Nobody must be led to create a new vault over packs that another replica's config would open."""
    store = sample.trial.store
    for key in sample.keys("config/"):
        store.delete(key)
    try:
        with pytest.raises(DamageError, match="config") as caught:
            sample.trial.open()
        assert "replica" in caught.value.hint
        with pytest.raises(DamageError):
            new_trial_vault(store)
    finally:
        put_back(store, sample.contents)


def test_all_indexes_are_gone(sample: Sample, tmp_path: Path) -> None:
    """They are a cache: everything restores, and saving goes on."""
    store = sample.trial.store
    for key in sample.keys("index/"):
        store.delete(key)
    try:
        vault = sample.trial.open()
        for snapshot in sample.expected:
            vault.restore(snapshot, tmp_path / snapshot)
        report = vault.check(read_data=True)
        assert not report.damages
        assert any("in no index" in note for note in report.notes)
    finally:
        put_back(store, sample.contents)


def test_a_medium_that_fails_to_read(sample: Sample, tmp_path: Path) -> None:
    """A bad sector is an error of the system, not a wrong byte: check goes on, and names what cannot be read."""
    for prefix in ("packs/", "parts/", "snapshots/", "refs/", "index/"):
        key = sample.keys(prefix)[0]
        store = FaultyStore(sample.trial.store, Faults().fail("get get_ranges", matching=key, with_=FailedError))
        report = sample.trial.open(store=store).check(read_data=True)
        assert [damage.object for damage in report.damages] == [key]
        hurt = set(report.damages[0].snapshots)
        for snapshot, tree in sample.expected.items():
            vault = sample.trial.open(store=store)
            if snapshot in hurt or snapshot in key:
                target = tmp_path / "hurt" / "out"
                with pytest.raises(FailedError, match=key):
                    vault.restore(snapshot, target)
                left = target.iterdir() if target.exists() else ()
                assert all(".partial" in path.name for path in left)
            else:
                every_snapshot_restores(vault, {snapshot: tree}, tmp_path / "out")


def test_wrong_keys(sample: Sample) -> None:
    stranger = new_trial_vault(MemoryStore(), encrypted=sample.trial.open().handle.keys.suite != 0)
    with pytest.raises(WrongKeyError, match=sample.trial.open().id) as caught:
        sample.trial.open(stranger.keeper)
    assert caught.value.exit_code == 7 and caught.value.hint
    store = MemoryStore()
    put_back(store, sample.foreign)
    with pytest.raises(CredentialError):
        sample.trial.open(store=store)


def test_a_config_of_somebody_else(sample: Sample) -> None:
    """The attacker makes a vault of the same id with his own keeper: whoever pins the real one is not fooled."""
    from holdfast.trust.signing import SigningKey
    from holdfast.vault.format.documents import read_config, write_config
    from holdfast.vault.format.names import config_key

    store, key = sample.trial.store, config_key(3)
    newest = sample.keys("config/")[-1]
    header, opened, _ = read_config(newest, sample.contents[newest])
    body = opened.body.replace(b"\xaageneration\x02", b"\xaageneration\x03")
    store.create(key, write_config(header.vault, header.suite, key, body, SigningKey.generate()))
    try:
        with pytest.raises(UntrustedError, match=key) as caught:
            sample.trial.open()
        assert caught.value.hint
    finally:
        put_back(store, sample.contents)


def test_references_that_lead_nowhere(sample: Sample) -> None:
    vault = sample.trial.open()
    for reference in ("nobody", f"{ASSET}@step=77", f"{ASSET}@nothing", "0000", f"{ASSET}@1970-01-01"):
        with pytest.raises(NotFoundError) as caught:
            vault.find(reference)
        assert caught.value.hint and caught.value.exit_code == 3


def test_an_index_that_lies_about_a_sound_pack_is_the_one_to_blame() -> None:
    trial = new_trial_vault(MemoryStore())
    trial.open().save("run", {"a": 1})
    keys, store = trial.open().handle.keys, trial.store
    [old] = [info.key for info in store.list(INDEX)]
    [pack, *more] = read_index(store, keys, old).said.packs
    lying, data = write_index(keys, [msgspec.structs.replace(pack, size=pack.size - 50), *more], 1)
    store.delete(old)
    store.create(lying, data)
    assert [damage.object for damage in trial.open().check().damages] == [lying]
