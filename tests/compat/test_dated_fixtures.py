"""Today's package opens every vault that an earlier one wrote: lists, checks, restores it bit by bit, adds to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from dated_fixtures import FIXTURES, METHODS, forms_of, held, manifest_of, open_fixture

from holdfast.errors import UntrustedError, WrongKeyError
from holdfast.stores.local import LocalStore
from holdfast.trust.credentials import load_credential
from holdfast.vault.vault import open_vault

BYTES_MAX = 330 << 10  # of one fixture: everybody who clones the project carries it
FOLDERS = sorted(path.parent for path in FIXTURES.glob("[0-9]*-*/manifest.json"))
CASES = [pytest.param(folder, name, id=f"{folder.name}-{name}") for folder in FOLDERS for name in manifest_of(folder)]


@pytest.fixture(autouse=True)
def own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))


def test_there_are_fixtures() -> None:
    assert FOLDERS
    for folder in FOLDERS:
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < BYTES_MAX


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_a_vault_is_listed_and_sound(folder: Path, name: str, tmp_path: Path) -> None:
    told = manifest_of(folder)[name]
    vault = open_fixture(folder, name, tmp_path / "copy")
    listed = vault.snapshots()
    assert not [one.error for one in listed if one.error]
    found = {one.root.id for one in listed if one.root}
    assert found == {snapshot["id"] for snapshot in told["snapshots"]}
    assert not found & set(told["dropped"])
    report = vault.check(read_data=True)
    assert not report.damages
    assert {asset: {n: r.target for n, r in vault.tags(asset).items()} for asset in told["pointers"]} == told[
        "pointers"
    ]


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_every_snapshot_comes_back_and_one_more_is_saved(folder: Path, name: str, tmp_path: Path) -> None:
    told = manifest_of(folder)[name]
    vault = open_fixture(folder, name, tmp_path / "copy")
    for snapshot in told["snapshots"]:
        target = tmp_path / snapshot["id"]
        vault.restore(snapshot["id"], target)
        assert held(target, snapshot) == snapshot["holds"]
        assert vault.find(snapshot["id"]).step == snapshot["step"]
        if "tensors" in snapshot:
            loaded = vault.load(snapshot["id"])
            hashes = {
                n: blake3(np.ascontiguousarray(loaded[n][...]).tobytes()).hexdigest() for n in snapshot["tensors"]
            }
            assert hashes == snapshot["tensors"]
    newest = told["snapshots"][1]
    saved = vault.save(newest["asset"], tmp_path / newest["id"], step=4)
    assert saved.verified is not None and saved.verified.level == "decoded"
    assert saved.root.stats["dedup"] == saved.root.stats["raw"] - saved.root.stats["hole"], (
        "a chunk was not found again"
    )
    again = tmp_path / "again"
    vault.restore(saved.root.id, again)
    assert held(again, newest) == newest["holds"]
    assert not vault.check(read_data=True).damages


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_who_may_do_what_is_still_so(folder: Path, name: str, tmp_path: Path) -> None:
    told = manifest_of(folder)[name]
    vault = open_fixture(folder, name, tmp_path / "copy")
    revoked = {signer.label for signer in vault.handle.keys.config.signers if signer.revoked is not None}
    assert revoked == set(told["revoked"])
    if revoked:
        key = tmp_path / "copy" / "writer.key"
        key.chmod(0o600)
        with pytest.raises(UntrustedError):
            open_vault(LocalStore(tmp_path / "copy" / "vault"), load_credential(key)).save("more", {"a": np.arange(3)})
    if told["passphrase"] is not None:
        reader = open_fixture(folder, name, tmp_path / "read", passphrase=told["passphrase"])
        assert {one.root.id for one in reader.snapshots() if one.root} == {one["id"] for one in told["snapshots"]}
        with pytest.raises(WrongKeyError):
            open_fixture(folder, name, tmp_path / "wrong", passphrase="wrong")


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_every_codec_and_method_occurs(folder: Path, name: str, tmp_path: Path) -> None:
    told = manifest_of(folder)[name]
    forms = forms_of(open_fixture(folder, name, tmp_path / "copy").handle)
    assert sorted(map(list, forms)) == told["forms"]
    assert {codec for codec, _, _ in forms} == {"raw", "zstd", "planes", "delta"}
    assert {method for codec, _, method in forms if codec == "delta"} == set(METHODS.values())
    assert {width for codec, width, _ in forms if codec == "delta"} == {1, 2, 4, 8}
