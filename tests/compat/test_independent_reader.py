"""A program that was written from docs/format alone, and shares no code with the package, restores what that saves."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import independent_reader
import msgspec
import pytest
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from small_checkpoints import describe, stored_bytes, write_checkpoint

import holdfast
from holdfast.trust.credentials import Credential, load_credential, write_credential
from holdfast.trust.recipients import keyfile_recipient, wrap_for_public
from holdfast.trust.sealing import SealingKey
from holdfast.vault.access.configuration import append_config, load_config
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.format.records import Epoch
from holdfast.vault.handle import Handle

READER = Path(independent_reader.__file__)
ASSET = "llama / größe 70B"
FLOAT, INTEGER = 2, 1
REFUSALS = (ValueError, InvalidTag, InvalidSignature, KeyError, struct.error)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "keeper.key"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keeper.key"


def run_reader(vault: Path, key_file: Path, asset: str, target: Path) -> None:
    command = [sys.executable, "-W", "error", str(READER), str(vault), str(key_file), asset, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def opened(vault: Path, key_file: Path) -> independent_reader.Vault:
    return independent_reader.Vault(vault, json.loads(key_file.read_text()))


@pytest.mark.parametrize("encryption", [True, False])
def test_the_newest_of_three_snapshots_restores_identically(tmp_path: Path, key_file: Path, encryption: bool) -> None:
    source, folder = tmp_path / "checkpoint", tmp_path / "vault"
    vault = holdfast.create(folder, encryption=encryption)
    stats: dict[str, int] = {}
    for step in (1, 2, 3):
        write_checkpoint(source, step, elements=16_384)
        root = vault.save(ASSET, source, step=step).root
        stats = {name: stats.get(name, 0) + count for name, count in root.stats.items()}
    for codec in ("raw", "zstd", "planes", "delta"):
        assert stats[f"raw_{codec}"] > 0, f"no chunk of the test is of codec {codec}"
    assert stats["hole"] > 0
    assert stats["dedup"] > 0

    shutil.rmtree(folder / "index")  # a cache, which the page says can be rebuilt
    shutil.rmtree(folder / "refs")
    run_reader(folder, key_file, ASSET, tmp_path / "restored")

    assert describe(tmp_path / "restored") == describe(source)
    assert stored_bytes(tmp_path / "restored" / "sparse.img") < 1 << 20
    forms = {(codec, kind, width) for _, (codec, _, kind, width), _ in opened(folder, key_file).blobs.values()}
    assert {(3, FLOAT, width) for width in (1, 2, 4, 8)} | {(3, INTEGER, 8)} <= forms


def test_a_snapshot_of_one_file_restores(tmp_path: Path, key_file: Path) -> None:
    vault = holdfast.create(tmp_path / "vault")
    (tmp_path / "notes.txt").write_text("one file alone")
    vault.save(ASSET, tmp_path / "notes.txt")
    run_reader(tmp_path / "vault", key_file, ASSET, tmp_path / "restored")
    assert [path.name for path in (tmp_path / "restored").iterdir()] == ["notes.txt"]
    assert (tmp_path / "restored" / "notes.txt").read_text() == "one file alone"
    assert (tmp_path / "restored" / "notes.txt").stat().st_mtime_ns == (tmp_path / "notes.txt").stat().st_mtime_ns


def test_later_generations_epochs_and_members_are_understood(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five generations: a second epoch (with deltas to the first), a reader, a writer, and the writer revoked."""
    source, folder = tmp_path / "checkpoint", tmp_path / "vault"
    vault = holdfast.create(folder)
    write_checkpoint(source, 1, elements=1024)
    vault.save(ASSET, source)
    open_second_epoch(vault.handle, load_credential(key_file))
    vault = holdfast.open(folder)
    write_credential(admit_reader(vault.handle, "restore"), tmp_path / "reader.key")
    write_credential(admit_writer(vault.handle, "rank-0"), tmp_path / "writer.key")

    write_checkpoint(source, 2, elements=1024)
    assert vault.save(ASSET, source).root.stats["raw_delta"] > 0
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "writer.key"))
    write_checkpoint(source, 3, elements=1024)
    holdfast.open(folder).save(ASSET, source)
    revoke_signer(vault.handle, "rank-0")

    assert len(list((folder / "config").iterdir())) == 5
    packs = [path.read_bytes() for path in folder.glob("packs/*/*")]
    assert {struct.unpack_from("<I", pack, 12)[0] for pack in packs} == {1, 2}
    for name in ("keeper.key", "reader.key"):
        run_reader(folder, tmp_path / name, ASSET, tmp_path / f"restored by {name}")
        assert describe(tmp_path / f"restored by {name}") == describe(source)


def open_second_epoch(handle: Handle, keeper: Credential) -> None:
    """What changing a vault's keys does, made by hand: a further epoch, and the secrets wrapped anew for it."""
    assert keeper.signer and keeper.opener
    config, private, vault = load_config(handle.store, keeper.keepers).config, SealingKey.generate(), handle.keys.vault
    secret = private.to_bytes() + bytes.fromhex(keeper.keepers[0])
    info = b"holdfast 1 epoch\0" + vault + struct.pack("<I", 2)
    epoch = Epoch(2, private.public, [keyfile_recipient(keeper.opener.public, "keeper", secret, info)])
    secrets = handle.keys.chunk_id_key + handle.keys.index_key
    changed = msgspec.structs.replace(
        config,
        generation=2,
        epochs=[*config.epochs, epoch],
        secrets=wrap_for_public(secrets, private.public, b"holdfast 1 secrets\0" + vault),
    )
    append_config(handle.store, handle.keys, changed)


class Victim:
    """A small vault of which a test changes one object."""

    def __init__(self, tmp_path: Path, encryption: bool) -> None:
        self.folder, self.key_file, self.target = tmp_path / "vault", tmp_path / "keeper.key", tmp_path / "restored"
        source = tmp_path / "file.txt"
        source.write_text("what is damaged must not come back")
        holdfast.create(self.folder, encryption=encryption).save(ASSET, source)

    def object(self, kind: str) -> Path:
        [path] = (path for path in (self.folder / kind).rglob("*") if path.is_file())
        return path

    def change(self, kind: str, offset: int, *, new_checksum: bool) -> None:
        data = bytearray(self.object(kind).read_bytes())
        data[offset] ^= 1
        if new_checksum:
            data[-32:] = blake3(data[:-32]).digest()
        self.object(kind).write_bytes(data)

    def restore(self) -> None:
        opened(self.folder, self.key_file).restore(ASSET, os.fsencode(self.target))


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def victim(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Victim]:
    victim = Victim(tmp_path, request.param)
    yield victim
    assert not any(path.read_bytes() for path in victim.target.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["config", "snapshots", "parts", "packs"])
@pytest.mark.parametrize("offset", [0, 17, 40, 60, -1])
def test_one_changed_bit_is_noticed(victim: Victim, kind: str, offset: int) -> None:
    victim.change(kind, offset, new_checksum=False)
    with pytest.raises(REFUSALS):
        victim.restore()


@pytest.mark.parametrize("kind", ["config", "snapshots"])
@pytest.mark.parametrize("offset", [-32 - 1, -32 - 3_309 - 1])
def test_each_half_of_a_forged_signature_is_noticed(victim: Victim, kind: str, offset: int) -> None:
    victim.change(kind, offset, new_checksum=True)  # the last byte of ML-DSA's half, and of Ed25519's
    with pytest.raises(InvalidSignature):
        victim.restore()


def test_a_keeper_that_the_key_file_does_not_pin_is_refused(victim: Victim) -> None:
    key = json.loads(victim.key_file.read_text())
    victim.key_file.write_text(json.dumps({**key, "keepers": ["00" * 16]}))
    with pytest.raises(ValueError, match="not signed by a trusted keeper"):
        victim.restore()


def test_the_reader_is_short_and_stands_alone() -> None:
    source = READER.read_text()
    tree = ast.parse(source)
    imported = {
        name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in [a.name for a in node.names]
    }
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert foreign == {"blake3", "cryptography", "msgpack", "zstandard"}

    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {line for n in nodes for line in range(n.body[0].lineno, (n.body[0].end_lineno or 0) + 1)}
    lines = enumerate(source.splitlines(), 1)
    assert sum(number not in docstrings and not re.fullmatch(r"\s*(#.*)?", line) for number, line in lines) <= 175
