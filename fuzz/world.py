"""Real objects to begin with: two small vaults under keys that never change, so that a kept input means the same later.

Fuzzing goes behind the seal: whoever holds a writer's key may sign any record, so records are changed first and sealed
then. Vaults lie in memory; only what the package remembers of them goes to a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np

from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.workspace import own_memory
from holdfast.trust.credentials import Credential
from holdfast.trust.passphrase import Cost
from holdfast.trust.recipients import keyfile_recipient, passphrase_recipient, wrap_for_public
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.vault.format.documents import read_document, write_config, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import Config, Epoch, Signer, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault

__all__ = [
    "ASSET",
    "KEEPER",
    "PASSPHRASE",
    "VAULT",
    "bodies",
    "config_object",
    "keys",
    "objects",
    "resealed",
    "scratch",
    "store",
    "vault",
]

ASSET = "run / größe"
VAULT = bytes(range(16))
PASSPHRASE = "fuzz"
_CHUNK_ID_KEY, _INDEX_KEY = bytes(range(32)), bytes(range(32, 64))
_BORN_NS = 1_700_000_000_000_000_000
_CHEAP = Cost(passes=1, lanes=1, memory_kib=8)


@lru_cache
def _signer() -> SigningKey:
    return SigningKey(bytes(range(64)))


@lru_cache
def _opener() -> SealingKey:
    return SealingKey(bytes(range(96)))


@lru_cache
def _epoch() -> SealingKey:
    return SealingKey(bytes(range(96, 192)))


@lru_cache
def KEEPER(encrypted: bool) -> Credential:
    """The keeper's credential of one of the two vaults."""
    return Credential(
        role="keeper",
        vault_id=VAULT.hex(),
        label="keeper",
        signer=_signer(),
        opener=_opener() if encrypted else None,
        keepers=(fingerprint(_signer().public),),
    )


@lru_cache
def keys(encrypted: bool) -> VaultKeys:
    """All keys of the plain or the encrypted vault."""
    secrets = _CHUNK_ID_KEY + _INDEX_KEY
    epochs: list[Epoch] = []
    if encrypted:
        info = b"holdfast 1 epoch\0" + VAULT + (1).to_bytes(4, "little")
        secret = _epoch().to_bytes() + bytes.fromhex(fingerprint(_signer().public))
        recipients = [
            keyfile_recipient(_opener().public, "keeper", secret, info),
            passphrase_recipient(PASSPHRASE, "passphrase", secret, info, cost=_CHEAP),
        ]
        epochs.append(Epoch(1, _epoch().public, recipients))
        secrets = wrap_for_public(secrets, _epoch().public, b"holdfast 1 secrets\0" + VAULT)
    signers = [Signer("keeper", "keeper", _signer().public, _BORN_NS)]
    config = Config(1, _BORN_NS, int(encrypted), epochs, secrets, signers)
    private = {1: _epoch()} if encrypted else {}
    return VaultKeys(VAULT, config, _CHUNK_ID_KEY, _INDEX_KEY, private, _signer(), "keeper", "keeper")


@lru_cache
def scratch() -> Path:
    """A temporary folder of this process, in memory where there is such a place. It goes when the process ends."""
    shared = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(prefix="holdfast-fuzz-", dir=shared if shared.is_dir() else None)
    _held.append(folder)
    return Path(folder.name)


_held: list[tempfile.TemporaryDirectory[str]] = []


def vault(store: MemoryStore, encrypted: bool) -> Vault:
    """A vault of these keys on a store."""
    return Vault(Handle(store, keys(encrypted), workers=1, pack_bytes=48 << 10))


@lru_cache
def config_object(encrypted: bool) -> bytes:
    """The stored bytes of the vault's only configuration."""
    held = keys(encrypted)
    return write_config(VAULT, held.config.suite, config_key(1), encode_record(held.config), _signer())


@lru_cache
def _store(encrypted: bool) -> MemoryStore:
    store = MemoryStore()
    store.put(config_key(1), config_object(encrypted))
    with own_memory(scratch() / "memory"):
        one = vault(store, encrypted)
        source = scratch() / f"source-{encrypted}"
        _write_source(source)
        one.save(ASSET, source, step=1, tags=("first",), versions={"code": "1"})
        rng = np.random.default_rng(1)
        weights = rng.normal(size=(64, 48)).astype("f4")
        for step in (2, 3):
            weights = (weights * (1 + 1e-4 * rng.normal(size=weights.shape))).astype("f4")
            one.save("arrays", {"w": weights, "b": np.zeros((7, 3), "f2"), "n": np.arange(5)}, step=step)
    return store


def _write_source(folder: Path) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "w.npy", np.random.default_rng(0).normal(size=(24, 16)).astype("f4"))
    (folder / "noise.bin").write_bytes(Random(1).randbytes(900))
    (folder / "sub").mkdir()
    (folder / "sub" / "a.json").write_text('{"a": 1}')
    (folder / "link").symlink_to("sub/a.json")
    with (folder / "hole").open("wb") as file:
        file.truncate(1 << 16)
        file.write(b"x")
    for path in folder.rglob("*"):
        os.utime(path, ns=(_BORN_NS, _BORN_NS), follow_symlinks=False)


def store(encrypted: bool, name: str = "") -> MemoryStore:
    """A store with all objects of a vault and their times, for one input alone. Another name makes it another place."""
    forked = _store(encrypted).fork()
    forked._name = name or forked._name
    return forked


@lru_cache
def objects(encrypted: bool) -> dict[str, bytes]:
    """All stored objects of a vault, by key."""
    return contents_of(_store(encrypted))


_KINDS = {"index": Kind.INDEX, "parts": Kind.PART, "snapshots": Kind.ROOT, "refs": Kind.REF}


@lru_cache
def bodies(kind: Kind) -> list[bytes]:
    """The records of all documents of a kind, as encoded."""
    return [
        read_document(keys(False), kind, key, data).body
        for key, data in objects(False).items()
        if _KINDS.get(key.partition("/")[0]) is kind
    ]


def resealed(kind: Kind, name: str, body: bytes, *, encrypted: bool = False) -> bytes:
    """What a writer with valid keys stores under that name."""
    return write_document(keys(encrypted), kind, name, body)
