"""Vectors written once: what any later version, or another library, must still open.

The reader here is written from docs/format/keys.md alone, out of primitives (ML-KEM, X25519, SHA-3, HMAC, Argon2id,
AES-GCM): it shares no code with the package, so that a change of meaning in a library or in ours is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import unicodedata
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from holdfast.trust.aead import AesGcmCipher, PlainCipher
from holdfast.trust.credentials import Credential, Role, decode_credential, encode_credential
from holdfast.trust.passphrase import unwrap_with_passphrase
from holdfast.trust.recipients import recipient_id, unwrap_with_private
from holdfast.trust.sealing import SealingKey, open_key, seal_key
from holdfast.trust.signing import SigningKey, fingerprint, verify

TESTS = Path(__file__).parents[2]
FIXTURES = TESTS / "fixtures" / "trust"
PAGE = (TESTS.parent / "docs" / "format" / "keys.md").read_text(encoding="utf-8")


def vectors(name: str) -> dict[str, bytes]:
    stored: dict[str, str] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return {key: bytes.fromhex(value) for key, value in stored.items()}


SEALING, SIGNING, BLOBS, PASSPHRASE = (vectors(name) for name in ("sealing", "signing", "blobs", "passphrase"))


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labeled + b"\x01", "sha256")[:length]  # one block of HKDF-Expand: length ≤ 32


def open_by_the_page(private: bytes, sealed: bytes, info: bytes) -> bytes:
    """X-Wing and the key schedule of RFC 9180 (base mode), step by step as in the page."""
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(private[:64]), X25519PrivateKey.from_private_bytes(private[64:])
    mlkem_ciphertext, x25519_ciphertext = sealed[:1088], sealed[1088:1120]
    shared = hashlib.sha3_256(
        mlkem.decapsulate(mlkem_ciphertext)
        + x25519.exchange(X25519PublicKey.from_public_bytes(x25519_ciphertext))
        + x25519_ciphertext
        + x25519.public_key().public_bytes_raw()
        + bytes.fromhex("5c2e2f2f5e5c")
    ).digest()
    suite = b"HPKE" + bytes.fromhex("647a 0001 0002")
    context = (
        b"\x00" + _labeled_extract(suite, b"", b"psk_id_hash", b"") + _labeled_extract(suite, b"", b"info_hash", info)
    )
    secret = _labeled_extract(suite, shared, b"secret", b"")
    key = _labeled_expand(suite, secret, b"key", context, 32)
    nonce = _labeled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[1120:], b"")


def unwrap_by_the_page(passphrase: str, wrapped: bytes, info: bytes) -> bytes:
    key = Argon2id(
        salt=wrapped[8:24],
        length=32,
        iterations=int.from_bytes(wrapped[2:4], "little"),
        lanes=wrapped[1],
        memory_cost=int.from_bytes(wrapped[4:8], "little"),
    ).derive(unicodedata.normalize("NFC", passphrase).encode())
    return AESGCM(key).decrypt(bytes(12), wrapped[24:], wrapped[:24] + info)


def test_the_stored_sealed_key_opens() -> None:
    private = SealingKey(SEALING["private"])
    assert private.public == SEALING["public"]
    assert recipient_id(private.public) == SEALING["recipient_id"].hex()
    assert open_key(private, SEALING["sealed"], SEALING["info"]) == SEALING["key"]
    assert unwrap_with_private(private, SEALING["wrapped"], SEALING["info"]) == SEALING["secret"]


def test_sealed_keys_open_by_the_page() -> None:
    private, info = SEALING["private"], SEALING["info"]
    assert open_by_the_page(private, SEALING["sealed"], info) == SEALING["key"]
    fresh = seal_key(SEALING["public"], SEALING["key"], info)
    assert open_by_the_page(private, fresh, info) == SEALING["key"]
    wrapping_key = open_by_the_page(private, SEALING["wrapped"][:1168], info)
    assert AESGCM(wrapping_key).decrypt(bytes(12), SEALING["wrapped"][1168:], info) == SEALING["secret"]


def test_the_stored_signature_verifies() -> None:
    public, message, signature = SIGNING["public"], SIGNING["message"], SIGNING["signature"]
    assert SigningKey(SIGNING["private"]).public == public
    assert fingerprint(public) == SIGNING["fingerprint"].hex()
    verify(public, message, signature)
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], message)
    MLDSA65PublicKey.from_public_bytes(public[32:]).verify(signature[64:], message, b"holdfast 1")


def test_the_stored_blobs_are_what_the_ciphers_write() -> None:
    nonce = int.from_bytes(BLOBS["nonce"], "big")
    for cipher, sealed in ((AesGcmCipher(BLOBS["key"]), "aes_gcm"), (PlainCipher(BLOBS["key"]), "plain")):
        assert cipher.seal(nonce, BLOBS["data"], BLOBS["aad"]) == BLOBS[sealed]
        assert cipher.open(nonce, BLOBS[sealed], BLOBS["aad"]) == BLOBS["data"]


@pytest.mark.parametrize("cost", ["cheap", "recommended"])
def test_the_stored_passphrase_wraps_open(cost: str) -> None:
    passphrase, info = PASSPHRASE["passphrase_utf8"].decode(), PASSPHRASE["info"]
    assert unwrap_with_passphrase(passphrase, PASSPHRASE[cost], info) == PASSPHRASE["secret"]
    assert unwrap_by_the_page(passphrase, PASSPHRASE[cost], info) == PASSPHRASE["secret"]


EXPECTED: dict[Role, dict[str, str | bool]] = {
    "keeper": {"label": "", "signer": True, "opener": True, "pins": True, "writer_keys": False},
    "reader": {"label": "restore", "signer": False, "opener": True, "pins": False, "writer_keys": False},
    "writer": {"label": "rank-0", "signer": True, "opener": False, "pins": True, "writer_keys": True},
}


@pytest.mark.parametrize("role", EXPECTED)
def test_the_stored_key_files_load_and_are_written_alike(role: Role) -> None:
    text, expected = (FIXTURES / f"{role}.key").read_bytes(), EXPECTED[role]
    assert decode_credential(text, role) == Credential(
        role=role,
        vault_id="00112233445566778899aabbccddeeff",
        label=str(expected["label"]),
        signer=SigningKey(SIGNING["private"]) if expected["signer"] else None,
        opener=SealingKey(SEALING["private"]) if expected["opener"] else None,
        chunk_id_key=bytes(range(32)) if expected["writer_keys"] else None,
        index_key=bytes(range(32, 64)) if expected["writer_keys"] else None,
        keepers=(SIGNING["fingerprint"].hex(),) if expected["pins"] else (),
    )
    assert encode_credential(decode_credential(text, role)) == text


@pytest.mark.parametrize("role", EXPECTED)
def test_the_check_of_a_key_file_by_the_page(role: str) -> None:
    members = json.loads((FIXTURES / f"{role}.key").read_text(encoding="ascii"))
    hasher = blake3(derive_key_context="holdfast 1 key file")
    fields = [members[name].encode() for name in ("role", "vault")] + [members.get("label", "").encode()]
    fields += [base64.b64decode(members.get(name, "")) for name in ("signer", "opener", "chunk_id_key", "index_key")]
    fields += [keeper.encode() for keeper in members.get("keepers", [])]
    for field in fields:
        hasher.update(len(field).to_bytes(4, "little") + field)
    assert hasher.hexdigest()[:32] == members["check"]


def test_the_page_shows_the_stored_vectors() -> None:
    shown = set(re.findall(r"`([0-9a-f]{8,})`", PAGE))
    short = [*BLOBS.values(), *PASSPHRASE.values(), SEALING["info"], SEALING["recipient_id"], SIGNING["fingerprint"]]
    missing = [value.hex() for value in short if value.hex() not in shown]
    assert not missing, "docs/format/keys.md and tests/fixtures/trust disagree"
    for name in ("public", "sealed", "wrapped"):
        assert blake3(SEALING[name]).hexdigest() in shown, name
    for name in ("public", "signature"):
        assert blake3(SIGNING[name]).hexdigest() in shown, name
    assert (FIXTURES / "writer.key").read_text(encoding="ascii") in PAGE
