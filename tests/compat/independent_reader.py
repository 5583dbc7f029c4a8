"""Restores the newest snapshot of an asset from a vault in a folder; shares no code with the package.

Usage: python independent_reader.py VAULT_FOLDER KEY_FILE ASSET TARGET

Written from docs/format alone, to show that those pages are enough to get one's data back. It reads only what nothing else
can stand in for (configurations, a root, parts, packs), takes a keeper's or reader's key file, and stops at the first
damage: with ValueError, or InvalidTag or InvalidSignature of `cryptography`.
"""

import json
import os
import struct
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

SEALED_KEY, SIGNED_BY, CHECKSUM, TRAILER = 1_168, 16 + 3_373, 32, 16
HOLE = 3


def require(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)


# --- keys.md


def open_blob(suite: int, key: bytes, nonce: int, sealed: bytes, aad: bytes) -> bytes:
    number = nonce.to_bytes(12, "big")
    if suite == 1:
        return AESGCM(key).decrypt(number, sealed, aad)
    data, tag = sealed[:-16], sealed[-16:]
    message = number + struct.pack("<Q", len(aad)) + aad + data
    require(blake3(message, key=key).digest()[:16] == tag, "a plain tag does not match")
    return data


def open_key(private: bytes, sealed: bytes, info: bytes) -> bytes:
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(private[:64]), X25519PrivateKey.from_private_bytes(private[64:])
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    return suite.decrypt(sealed, MLKEM768X25519PrivateKey(mlkem, x25519), info)


def unwrap(private: bytes, wrapped: bytes, info: bytes) -> bytes:
    return open_blob(1, open_key(private, wrapped[:SEALED_KEY], info), 0, wrapped[SEALED_KEY:], info)


def fingerprint(public: bytes, purpose: str = "signer") -> str:
    return blake3(public, derive_key_context="holdfast 1 " + purpose).digest()[:16].hex()


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], message)
    MLDSA65PublicKey.from_public_bytes(public[32:]).verify(signature[64:], message, b"holdfast 1")


# --- codecs.md


def merge_planes(payload: bytes, raw: int, width: int) -> bytes:
    n, at, merged = raw // width, 5 * width, bytearray(raw)
    for k in range(width):
        method, stored = struct.unpack_from("<BI", payload, 5 * k)
        plane, at = payload[at : at + stored], at + stored
        merged[k : n * width : width] = zstandard.decompress(plane) if method else plane
    merged[n * width :] = payload[at:]
    return bytes(merged)


def add_delta(zigzag: bytes, base: bytes, kind: int, width: int) -> bytes:
    elements = struct.Struct(f"<{len(zigzag) // width}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[width] }")
    top = 1 << (8 * width - 1)
    mask, flip, chunk = 2 * top - 1, top - 1 if kind == 2 else 0, []
    for z, b in zip(elements.unpack_from(zigzag), elements.unpack_from(base), strict=True):
        y = ((z >> 1 ^ (mask if z & 1 else 0)) + (b ^ flip if b & top else b)) & mask
        chunk.append(y ^ flip if y & top else y)
    return elements.pack(*chunk) + zigzag[elements.size :]


def decode(codec: int, payload: bytes, raw: int, kind: int, width: int, base: bytes = b"") -> bytes:
    if codec < 2:
        return zstandard.decompress(payload) if codec else payload
    planes = merge_planes(payload, raw, width)
    return add_delta(planes, base, kind, width) if codec == 3 else planes


# --- vault-1.md


def subkey(chunk_id_key: bytes, purpose: bytes) -> bytes:
    return blake3(b"holdfast 1 " + purpose, key=chunk_id_key).digest()


def key_of_name(name_key: bytes, purpose: bytes, name: str) -> str:
    return blake3(purpose + b"\x00" + name.encode(), key=name_key).digest()[:16].hex()


class Vault:
    """A vault in a folder, opened with the members of a key file."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder, self.id = folder, bytes.fromhex(key["vault"])
        self.plain_key = blake3(b"holdfast 1 plain key" + self.id).digest()
        self.config = self.find_config(set(key["keepers"]))
        self.epochs = dict(self.unwrap_epochs(b64decode(key["opener"]))) if self.config["suite"] else {}
        secrets = self.config["secrets"]
        if self.config["suite"]:
            secrets = unwrap(self.epochs[max(self.epochs)], secrets, b"holdfast 1 secrets\x00" + self.id)
        self.chunk_key, self.part_key, self.name_key = (subkey(secrets[:32], p) for p in (b"chunk", b"part", b"name"))
        self.places = {found[0]: found[1:] for path in folder.glob("packs/*/*") for found in self.list_pack(path)}

    def find_config(self, trusted: set[str]) -> dict[str, Any]:
        found = None
        for path in sorted((self.folder / "config").iterdir()):
            config, _, signed = self.open("config/" + path.name, b"C")
            if signed[0] in trusted:
                self.check_signer(config, config, signed, ("keeper",))
                require(config["generation"] == int(path.name), "a configuration under another name")
                trusted = {fingerprint(s["public"]) for s in config["signers"] if s["role"] == "keeper"}
                found = config
        require(found, "no configuration is signed by a trusted keeper")
        return found or {}

    def unwrap_epochs(self, opener: bytes) -> Any:
        x25519 = X25519PrivateKey.from_private_bytes(opener[64:]).public_key().public_bytes_raw()
        public = MLKEM768PrivateKey.from_seed_bytes(opener[:64]).public_key().public_bytes_raw() + x25519
        for epoch in self.config["epochs"]:
            info = b"holdfast 1 epoch\x00" + self.id + struct.pack("<I", epoch["number"])
            for recipient in epoch["recipients"]:
                if recipient["id"] == fingerprint(public, "recipient"):
                    yield epoch["number"], unwrap(opener, recipient["wrapped"], info)[:96]

    def read_header(self, data: bytes, kind: bytes) -> tuple[int, int]:
        magic, found, version, suite, epoch, vault = struct.unpack("<8scBHI16s", data[:32])
        require(magic == b"HOLDFAST" and version == 1 and suite < 2, "an object that is not of format 1")
        require(vault == self.id and found == kind, "an object of another vault or kind")
        return suite, epoch

    def open(self, name: str, kind: bytes) -> tuple[dict[str, Any], bytes, tuple[str, bytes, bytes]]:
        """A document's record, its msgpack, and (fingerprint of the signer, signature, what is signed)."""
        data = (self.folder / name).read_bytes()
        require(blake3(data[:-CHECKSUM]).digest() == data[-CHECKSUM:], f"{name} is damaged")
        suite, epoch = self.read_header(data, kind)
        key, start = self.plain_key, 32
        if cipher := suite if kind != b"C" else 0:
            info = b"holdfast 1 document\x00" + data[:32] + name.encode()
            key, start = open_key(self.epochs[epoch], data[32 : 32 + SEALED_KEY], info), 32 + SEALED_KEY
        end = start + 4 + struct.unpack_from("<I", data, start)[0]
        require(len(data) == end + CHECKSUM + (SIGNED_BY if kind != b"M" else 0), f"{name} has another length")
        packed = zstandard.decompress(open_blob(cipher, key, 0, data[start + 4 : end], data[:32] + name.encode()))
        message = b"holdfast 1 object\x00" + struct.pack("<H", len(name)) + name.encode() + data[:end]
        signed = (data[end : end + 16].hex(), data[end + 16 : -CHECKSUM], message)
        return msgpack.unpackb(packed), packed, signed

    def check_signer(self, config: Any, record: Any, signed: tuple[str, bytes, bytes], roles: tuple[str, ...]) -> None:
        signer = {fingerprint(s["public"]): s for s in config["signers"]}[signed[0]]
        revoked = signer["revoked"] is not None and signer["revoked"] < record["created"]
        require(signer["role"] in roles and not revoked, "a signer that may not sign this")
        verify(signer["public"], signed[1], signed[2])

    def list_pack(self, path: Path) -> Any:
        """For each blob (chunk id, path, header, pack key, number, offset, sealed length, codec, raw length, kind, width, base)."""
        data = path.read_bytes()
        suite, epoch = self.read_header(data, b"P")
        key, at = self.plain_key, 32
        if suite:
            key, at = open_key(self.epochs[epoch], data[32 : 32 + SEALED_KEY], b"holdfast 1 pack\x00" + data[:32]), 32 + SEALED_KEY
        count, length, magic = struct.unpack("<II8s", data[-TRAILER:])
        require(magic == b"TSAFDLOH", f"{path} is no whole pack")
        aad = data[:32] + data[-TRAILER:]
        table = msgpack.unpackb(open_blob(suite, key, 2**96 - 1, data[-TRAILER - length : -TRAILER], aad))
        stored, raw = struct.unpack(f"<{count}I", table["stored"]), struct.unpack(f"<{count}I", table["raw"])
        based = struct.unpack(f"<{len(table['based']) // 4}I", table["based"])
        bases = {i: table["bases"][32 * m : 32 * m + 32] for m, i in enumerate(based)}
        for i in range(count):
            chunk_id, form = table["ids"][32 * i : 32 * i + 32], (table["codec"][i], raw[i], table["kind"][i], table["width"][i])
            yield chunk_id, path, suite, key, i, at, stored[i], form, bases.get(i)
            at += stored[i]
