"""Vaults that were written when format 1 was: today's package and the independent reader restore them bit by bit."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import independent_reader
import msgpack  # type: ignore[import-untyped]  # has neither hints nor a package of stubs here
import pytest
import zstandard
from blake3 import blake3
from small_checkpoints import describe

import holdfast

FIXTURE = Path(__file__).parent / "fixtures" / "format-1"
MANIFEST: dict[str, list[dict[str, Any]]] = json.loads((FIXTURE / "manifest.json").read_text(encoding="utf-8"))
BYTES_MAX = 300_000  # everybody who clones the project carries the fixture
CODECS = {0, 1, 2, 3}


@pytest.fixture(params=MANIFEST)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def vault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stored vault, with its key file as a key file has to be."""
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    copy = Path(shutil.copytree(FIXTURE / name, tmp_path / name))
    (copy / "keeper.key").chmod(0o600)
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(copy / "keeper.key"))
    return copy / "vault"


def held(restored: Path, snapshot: dict[str, Any]) -> dict[str, Any]:
    """What lies in the folder, as the manifest tells it: without the folder itself if one file was saved."""
    found = describe(restored)
    return found if "." in snapshot["holds"] else {path: it for path, it in found.items() if path != "."}


def test_the_package_restores_every_snapshot(name: str, vault: Path, tmp_path: Path) -> None:
    opened = holdfast.open(vault)
    assert {listed.root.id for listed in opened.snapshots() if listed.root} == {s["id"] for s in MANIFEST[name]}
    for snapshot in MANIFEST[name]:
        target = tmp_path / snapshot["id"]
        opened.restore(snapshot["id"], target)
        assert held(target, snapshot) == snapshot["holds"]


def test_the_package_finds_nothing_wrong(vault: Path) -> None:
    report = holdfast.open(vault).check(read_data=True)
    assert (report.damages, report.notes) == ([], [])
    assert report.packs_read == len(list(vault.glob("packs/*/*"))) > 0


def test_the_package_finds_steps_tags_and_what_was_validated(name: str, vault: Path) -> None:
    opened = holdfast.open(vault)
    *steps, notes = MANIFEST[name]
    first, newest = steps[0], steps[-1]
    asset = newest["asset"]
    for snapshot in steps:
        assert opened.find(f"{asset}@step={snapshot['step']}").id == snapshot["id"]
    assert opened.find(f"{asset}@first").id == first["id"]
    assert opened.find(f"{asset}@latest").id == opened.find(f"{asset}@validated").id == newest["id"]
    assert opened.find(notes["asset"]).meta == {"why": "a test", "größe": "3"}


def test_the_package_adds_to_it(vault: Path, name: str, tmp_path: Path) -> None:
    newest = MANIFEST[name][-2]
    opened = holdfast.open(vault)
    opened.restore(newest["id"], tmp_path / "again")
    root = opened.save(newest["asset"], tmp_path / "again").root
    assert root.stats["dedup"] == root.stats["raw"] - root.stats["hole"], "a chunk was not found again"


def test_the_independent_reader_restores_the_newest_of_each_asset(name: str, vault: Path, tmp_path: Path) -> None:
    key = json.loads((vault.parent / "keeper.key").read_text())
    reader = independent_reader.Vault(vault, key)
    for asset in {snapshot["asset"] for snapshot in MANIFEST[name]}:
        newest = max((s for s in MANIFEST[name] if s["asset"] == asset), key=lambda s: str(s["id"]))
        target = tmp_path / str(newest["id"])
        reader.restore(asset, os.fsencode(target))
        assert held(target, newest) == newest["holds"]


def test_refs_are_as_the_page_says(name: str, vault: Path) -> None:
    reader = independent_reader.Vault(vault, json.loads((vault.parent / "keeper.key").read_text()))
    targets: dict[tuple[str, str], str] = {}
    for path in sorted(vault.glob("refs/*/*/*")):
        ref, _, _ = reader.read_document(str(path.relative_to(vault)), b"R", {"keeper", "writer"})
        keys = (reader.chunk_id_key, b"asset", ref["asset"]), (reader.chunk_id_key, b"ref", ref["name"])
        assert path.parts[-3:-1] == tuple(independent_reader.key_of_name(*key) for key in keys)
        targets[ref["asset"], ref["name"]] = ref["target"]
    *_, step_1, step_2, notes = MANIFEST[name]
    tags = {(step_1["asset"], "first"): step_1["id"]}
    newest = {(it["asset"], ref): it["id"] for it in (step_2, notes) for ref in ("latest", "validated")}
    assert targets == tags | newest


def test_indexes_are_as_the_page_says(vault: Path) -> None:
    reader = independent_reader.Vault(vault, json.loads((vault.parent / "keeper.key").read_text()))
    suite, secrets = reader.config["suite"], reader.config["secrets"]
    if suite == 1:
        secrets = independent_reader.unwrap(reader.epochs[1], secrets, b"holdfast 1 secrets\0" + reader.id)
    listed: dict[str, bytes] = {}
    for path in vault.glob("index/*"):
        data = path.read_bytes()
        assert path.name == blake3(data).hexdigest()
        assert data[-32:] == blake3(data[:-32]).digest()
        header, salt, (length,) = data[:32], data[32:64], struct.unpack_from("<I", data, 64)
        assert header == struct.pack("<8scBHI16s", b"HOLDFAST", b"I", 1, suite, 0, reader.id)
        signed, signer, signature = data[: 68 + length], data[68 + length : 84 + length], data[84 + length : -32]
        [keeper] = reader.config["signers"]
        assert independent_reader.fingerprint(keeper["public"]) == signer.hex()
        independent_reader.verify(keeper["public"], signature, b"holdfast 1 object\0\6\0index/" + signed)
        key = blake3(salt, key=secrets[32:]).digest()
        body = independent_reader.open_blob(suite, key, 0, signed[68:], header + b"index/")
        for pack in msgpack.unpackb(zstandard.decompress(body))["packs"]:
            assert (vault / "packs" / pack["id"].hex()[:2] / pack["id"].hex()).stat().st_size == pack["size"]
            listed[pack["id"].hex()] = pack["table"]["ids"]
    assert set(listed) == {path.name for path in vault.glob("packs/*/*")}
    assert {chunk_id for ids in listed.values() for chunk_id in independent_reader.column("32s", ids)} == set(
        reader.blobs
    )


def test_every_codec_and_width_occurs_in_the_fixture(vault: Path) -> None:
    reader = independent_reader.Vault(vault, json.loads((vault.parent / "keeper.key").read_text()))
    forms = {(codec, width) for _, (codec, _, _, width), _ in reader.blobs.values()}
    assert {codec for codec, _ in forms} == CODECS
    assert {width for codec, width in forms if codec == 3} == {1, 2, 4, 8}


def test_the_fixture_stays_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURE.rglob("*") if path.is_file()) < BYTES_MAX
