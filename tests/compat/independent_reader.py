"""Restores the newest snapshot of an asset from a vault in a folder; shares no code with the package.

Usage: python independent_reader.py VAULT_FOLDER KEY_FILE ASSET TARGET

Written from docs/format alone, to show that those pages are enough to get one's data back. It reads only what nothing
else can stand in for (configurations, a root, parts, packs), takes the key file of a keeper or reader, and stops with
an exception at the first damage. It is made to be read, 175 lines of code, not to be fast: it holds the packs in
memory and undoes deltas number by number. Every byte that it restores is under a chunk id, that under a part id, that
under a signature; refusing odd forms of what these cover is left to the package.
"""

import json
import os
import struct
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has neither hints nor a package of stubs here
from blake3 import blake3
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import decompress


def require(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)


# --- keys.md


def open_blob(suite: int, key: bytes, nonce: int, sealed: bytes, aad: bytes) -> bytes:
    number = nonce.to_bytes(12, "big")
    if suite:
        return AESGCM(key).decrypt(number, sealed, aad)
    tag = blake3(number + struct.pack("<Q", len(aad)) + aad + sealed[:-16], key=key).digest()[:16]
    require(tag == sealed[-16:], "a plain tag does not match")
    return sealed[:-16]


SEALED = {0: 0, 1: 1168, 2: 1713}  # bytes of a sealed key, by suite


def open_key(private: bytes, sealed: bytes, info: bytes) -> bytes:
    if len(private) == 96:
        suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        seed, scalar = mlkem.MLKEM768PrivateKey.from_seed_bytes, x25519.X25519PrivateKey.from_private_bytes
        return suite.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(seed(private[:64]), scalar(private[64:])), info)
    suite = hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM)
    large = mlkem.MLKEM1024PrivateKey.from_seed_bytes(private[:64])
    curve = ec.derive_private_key(int.from_bytes(private[64:], "big"), ec.SECP384R1())
    return suite.decrypt(sealed, hpke.MLKEM1024P384PrivateKey(large, curve), info)


def unwrap(private: bytes, wrapped: bytes, info: bytes) -> bytes:
    end = SEALED[1 if len(private) == 96 else 2]
    return open_blob(1, open_key(private, wrapped[:end], info), 0, wrapped[end:], info)


def fingerprint(public: bytes) -> str:
    return blake3(public, derive_key_context="holdfast 1 signer").digest()[:16].hex()


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    ed25519.Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], message)
    reader = mldsa.MLDSA65PublicKey if len(public) == 1984 else mldsa.MLDSA87PublicKey
    reader.from_public_bytes(public[32:]).verify(signature[64:], message, b"holdfast 1")


# --- codecs.md


def spread(sparse: bytes, size: int) -> bytes:
    plane, at = bytearray(size), 0
    placed, first = struct.unpack("<II", sparse[:8].ljust(8, b"\0"))
    gaps, values = (decompress(sparse[8 : 8 + first]), decompress(sparse[8 + first :])) if placed else (b"", b"")
    following = iter(values)
    for gap in gaps:
        at += gap + (gap < 255)
        if gap < 255:
            plane[at - 1] = next(following)
    return bytes(plane)


def merge_planes(payload: bytes, raw: int, width: int) -> bytes:
    end, at, merged = raw - raw % width, 5 * width, bytearray(raw)
    for k in range(width):
        method, stored = struct.unpack_from("<BI", payload, 5 * k)
        plane, at = payload[at : at + stored], at + stored
        merged[k:end:width] = spread(plane, raw // width) if method == 2 else decompress(plane) if method else plane
    return bytes(merged[:end]) + payload[at:]


def add_delta(zigzag: bytes, base: bytes, kind: int, width: int) -> bytes:
    elements = struct.Struct(f"<{len(zigzag) // width}" + {1: "B", 2: "H", 4: "I", 8: "Q"}[width])
    top = 1 << (8 * width - 1)
    mask, flip, chunk = 2 * top - 1, top - 1 if kind == 2 else 0, []
    for z, b in zip(elements.unpack_from(zigzag), elements.unpack_from(base), strict=True):
        y = ((z >> 1 ^ (mask if z & 1 else 0)) + (b ^ flip if b & top else b)) & mask
        chunk.append(y ^ flip if y & top else y)
    return elements.pack(*chunk) + zigzag[elements.size :]


def decode(codec: int, payload: bytes, raw: int, kind: int, width: int, base: bytes) -> bytes:
    data = merge_planes(payload, raw, width) if codec > 1 else decompress(payload) if codec else payload
    return add_delta(data, base, kind, width) if codec == 3 else data


# --- vault-1.md


def column(form: str, joined: bytes) -> list[Any]:
    return [value for (value,) in struct.iter_unpack(form, joined)]


def subkey(chunk_id_key: bytes, purpose: bytes) -> bytes:
    return blake3(b"holdfast 1 " + purpose, key=chunk_id_key).digest()


def key_of_name(chunk_id_key: bytes, purpose: bytes, name: str) -> str:
    return blake3(purpose + b"\x00" + name.encode(), key=subkey(chunk_id_key, b"name")).digest()[:16].hex()


class Vault:
    """A vault in a folder, opened with the members of a key file."""

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        require(key["holdfast_key"] in (1, 2), "a key file of a newer format")
        self.folder, self.id = folder, bytes.fromhex(key["vault"])
        self.config = self.find_config(set(key["keepers"]))
        secrets = self.config["secrets"]
        if self.config["suite"]:
            self.epochs = self.unwrap_epochs(b64decode(key["opener"]))
            secrets = unwrap(self.epochs[max(self.epochs)], secrets, b"holdfast 1 secrets\x00" + self.id)
        self.chunk_id_key = secrets[:32]
        self.blobs = {b[0]: b[1:] for path in folder.glob("packs/??/" + "?" * 64) for b in self.read_pack(path)}

    def find_config(self, trusted: set[str]) -> dict[str, Any]:
        config, counts = dict[str, Any](), False
        for path in sorted(self.folder.glob("config/" + "[0-9]" * 10)):
            config, _, signer = self.read_document("config/" + path.name, b"C", {"keeper"})
            if counts := signer in trusted:
                keepers = [s for s in config["signers"] if s["role"] == "keeper" and s["revoked"] is None]
                trusted = {fingerprint(s["public"]) for s in keepers}
        require(counts, "the newest configuration is not signed by a trusted keeper")
        return config

    def unwrap_epochs(self, opener: bytes) -> dict[int, bytes]:
        small = len(opener) == 96
        kem = mlkem.MLKEM768PrivateKey if small else mlkem.MLKEM1024PrivateKey
        own = kem.from_seed_bytes(opener[:64]).public_key().public_bytes_raw()
        mine = [(e["number"], r) for e in self.config["epochs"] for r in e["recipients"] if r["public"].startswith(own)]
        info = b"holdfast 1 epoch\x00" + self.id
        return {number: unwrap(opener, r["wrapped"], info + struct.pack("<I", number))[:-16] for number, r in mine}

    def read_header(self, data: bytes, kind: bytes, info: bytes) -> tuple[int, bytes, int]:
        """The cipher's suite, the key that seals the object (itself sealed for `info`), and where the rest begins."""
        suite, epoch = struct.unpack_from("<HI", data, 10)
        require(data[:10] + data[16:32] == b"HOLDFAST" + kind + b"\x01" + self.id, "another kind, format or vault")
        if kind == b"C" or suite == self.config["suite"] == 0:
            return 0, blake3(b"holdfast 1 plain key" + self.id).digest(), 32
        start = 32 + SEALED[suite]
        return suite, open_key(self.epochs[epoch], data[32:start], info), start

    def read_document(self, name: str, kind: bytes, roles: set[str]) -> tuple[dict[str, Any], bytes, str]:
        """A document's record, its msgpack, and the fingerprint of its signer, who has one of the roles."""
        data, own = (self.folder / name).read_bytes(), name.encode()
        require(blake3(data[:-32]).digest() == data[-32:], f"{name} is damaged")
        suite, key, start = self.read_header(data, kind, b"holdfast 1 document\x00" + data[:32] + own)
        end = start + 4 + struct.unpack_from("<I", data, start)[0]
        packed = decompress(open_blob(suite, key, 0, data[start + 4 : end], data[:32] + own))
        record, signer, signature = msgpack.unpackb(packed), data[end : end + 16].hex(), data[end + 16 : -32]
        if roles:
            listed = (record if kind == b"C" else self.config)["signers"]
            by = {fingerprint(s["public"]): s for s in listed if s["role"] in roles}[signer]
            require(kind == b"C" or by["revoked"] is None or record["created"] < by["revoked"], "a revoked signer")
            verify(by["public"], signature, b"holdfast 1 object\x00" + struct.pack("<H", len(own)) + own + data[:end])
        return record, packed, signer

    def read_pack(self, path: Path) -> Iterator[tuple[Any, ...]]:
        """Per blob: its chunk id; what `open_blob` takes; codec, raw length, kind and width; its base's chunk id."""
        data = path.read_bytes()
        suite, key, at = self.read_header(data, b"P", b"holdfast 1 pack\x00" + data[:32])
        footer = data[-16 - struct.unpack("<I", data[-12:-8])[0] : -16]
        table = msgpack.unpackb(open_blob(suite, key, 2**96 - 1, footer, data[:32] + data[-16:]))
        bases = dict(zip(column("<I", table["based"]), column("32s", table["bases"]), strict=True))
        forms = zip(table["codec"], column("<I", table["raw"]), table["kind"], table["width"], strict=True)
        stored = zip(column("32s", table["ids"]), column("<I", table["stored"]), forms, strict=True)
        for i, (chunk_id, size, form) in enumerate(stored):
            yield chunk_id, (suite, key, i, data[at : at + size], data[:32] + chunk_id), form, bases.get(i)
            at += size

    def read_chunk(self, chunk_id: bytes) -> bytes:
        sealed, (codec, raw, kind, width), base_id = self.blobs[chunk_id]
        chunk = decode(codec, open_blob(*sealed), raw, kind, width, self.read_chunk(base_id) if base_id else b"")
        require(blake3(chunk, key=subkey(self.chunk_id_key, b"chunk")).digest() == chunk_id, "a chunk is damaged")
        return chunk

    def read_newest(self, asset: str) -> Iterator[dict[str, Any]]:
        """The entries of the newest snapshot of an asset."""
        newest = max((self.folder / "snapshots" / key_of_name(self.chunk_id_key, b"asset", asset)).glob("?" * 26))
        for part in self.read_document(str(newest.relative_to(self.folder)), b"S", {"keeper", "writer"})[0]["parts"]:
            record, packed, _ = self.read_document("parts/" + part["id"].hex(), b"M", set())
            require(blake3(packed, key=subkey(self.chunk_id_key, b"part")).digest() == part["id"], "not the part named")
            yield from record["entries"]

    def write_file(self, path: bytes, entry: dict[str, Any]) -> None:
        chunk_ids = iter(column("32s", entry["chunks"]))
        with open(path, "wb") as file:
            for length, kind, _, chunks in entry["runs"]:
                file.writelines(self.read_chunk(next(chunk_ids)) for _ in range(chunks))
                file.seek(length if kind == 3 else 0, os.SEEK_CUR)
            file.truncate(entry["size"])

    def restore(self, asset: str, target: bytes) -> None:
        entries = sorted(self.read_newest(asset), key=lambda e: (e["type"] == "link", e["path"] != b".", e["path"]))
        for entry in entries:  # the links last: nothing is written through them
            path = os.path.join(target, entry["path"])
            require(not {b"", b".."} & set(entry["path"].split(b"/")), "a path that leads out of the snapshot")
            os.makedirs(path if entry["type"] == "folder" else os.path.dirname(path), exist_ok=True)
            if entry["type"] == "file":
                self.write_file(path, entry)
            elif entry["type"] == "link":
                os.symlink(entry["target"], path)
        for entry in reversed(entries):  # a folder after what lies in it
            path = os.path.join(target, entry["path"])
            if entry["type"] != "link":
                os.chmod(path, entry["mode"])
            os.utime(path, ns=(entry["mtime"], entry["mtime"]), follow_symlinks=False)


if __name__ == "__main__":
    _, FOLDER, KEY_FILE, ASSET, TARGET = sys.argv
    Vault(Path(FOLDER), json.loads(Path(KEY_FILE).read_bytes())).restore(ASSET, os.fsencode(TARGET))
