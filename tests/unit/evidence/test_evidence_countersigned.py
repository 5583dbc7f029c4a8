"""A second signature under evidence whose first key is gone: both verifiers, and what others could do with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest
from runs import example_drill, example_run, example_setting
from scripted import by_script, loaded_script

from holdfast.errors import HoldfastError, UntrustedError
from holdfast.evidence.bundle import make_files, read_folder, verify_files, write_files
from holdfast.evidence.chain import journal_file
from holdfast.evidence.manifest import COUNTERSIGNATURE, MANIFEST, SIGNATURE, countersign_manifest, sign_manifest
from holdfast.evidence.recording import record_of
from holdfast.trust.signing import SigningKey, fingerprint

TRIAL, KEEPER, STRANGER = (SigningKey(bytes([number]) * 64) for number in (1, 2, 3))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded_script()


@pytest.fixture(scope="module")
def signed() -> dict[str, bytes]:
    run = example_run()
    record = record_of(run, example_setting(), example_drill())
    return make_files(record, TRIAL, journal=journal_file(run.run, run.stores, run.entries, run.head))


def test_either_signer_is_trusted_and_nobody_else(
    signed: dict[str, bytes], script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**signed, COUNTERSIGNATURE: countersign_manifest(signed[MANIFEST], KEEPER)}
    for key in (TRIAL, KEEPER):
        found = verify_files(files, signer=fingerprint(key.public).upper())
        assert (found.signer, found.countersigner) == (fingerprint(TRIAL.public), fingerprint(KEEPER.public))
        by_script(script, files, tmp_path, signer=fingerprint(key.public))
    assert f"countersigned by {fingerprint(KEEPER.public)} (whom you named)" in capsys.readouterr().out
    write_files(files, tmp_path / "exported")
    assert verify_files(read_folder(tmp_path / "exported")).countersigner == fingerprint(KEEPER.public)
    with pytest.raises(UntrustedError, match="countersigned by"):
        verify_files(files, signer=fingerprint(STRANGER.public))
    with pytest.raises(script.Wrong, match="countersigned by"):
        by_script(script, files, tmp_path, signer=fingerprint(STRANGER.public))
    with pytest.raises(UntrustedError, match="is by"):  # taken away: then the keeper vouches for nothing
        verify_files(signed, signer=fingerprint(KEEPER.public))
    assert verify_files(signed).countersigner == ""
    for nothing in (" ", "\n"):  # of an empty file: nobody is named by it, and nobody trusted
        for one in (files, signed):
            with pytest.raises(UntrustedError, match="is by"):
                verify_files(one, signer=nothing)


def test_what_is_no_countersignature_of_it_is_refused(
    signed: dict[str, bytes], script: ModuleType, tmp_path: Path
) -> None:
    good = countersign_manifest(signed[MANIFEST], KEEPER)
    other = {**signed, MANIFEST: signed[MANIFEST] + b" "}
    lies = {
        "of another manifest": {**signed, COUNTERSIGNATURE: countersign_manifest(other[MANIFEST], KEEPER)},
        "the keeper's own signature of evidence": {**signed, COUNTERSIGNATURE: sign_manifest(signed[MANIFEST], KEEPER)},
        "used as the signature": {**signed, SIGNATURE: good},
        "written in another way": {**signed, COUNTERSIGNATURE: good + b"\n"},
        "of nobody": {**signed, COUNTERSIGNATURE: b"{}"},
    }
    for place in range(0, len(good), 97):
        lies[f"byte {place}"] = {
            **signed,
            COUNTERSIGNATURE: good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :],
        }
    for what, files in lies.items():
        with pytest.raises(HoldfastError):
            verify_files(files)
        with pytest.raises(Exception):  # noqa: B017 - whatever it ends with 1 for
            by_script(script, files, tmp_path)
        shutil.rmtree(tmp_path / "bundle")
        assert what
