"""Published test vectors, and implementations that share no code with ours, against what seals and signs."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dilithium_py.ml_dsa import ML_DSA_65, ML_DSA_87
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024

from holdfast.trust.sealing import SealingKey, open_key, seal_key
from holdfast.trust.signing import SigningKey
from holdfast.trust.suites import Suite

FIXTURES = Path(__file__).parents[2] / "fixtures" / "trust"
X_WING = json.loads((FIXTURES / "x-wing.json").read_text())
HPKE = json.loads((FIXTURES / "hpke-pq.json").read_text())
INFO = b"holdfast 1 example\0"


def extract(suite: bytes, hash_name: str, salt: bytes, label: bytes, x: bytes) -> bytes:
    salt = salt or bytes(hashlib.new(hash_name).digest_size)
    return hmac.digest(salt, b"HPKE-v1" + suite + label + x, hash_name)


def expand(suite: bytes, hash_name: str, key: bytes, label: bytes, x: bytes, size: int) -> bytes:
    info, block, out = struct.pack(">H", size) + b"HPKE-v1" + suite + label + x, b"", b""
    while len(out) < size:
        block = hmac.digest(key, block + info + bytes([len(out) // len(block) + 1 if block else 1]), hash_name)
        out += block
    return out[:size]


def sealed_with(shared: bytes, kem: int, kdf: int, key32: bytes, info: bytes) -> bytes:
    """HPKE's ciphertext (RFC 9180, 5.1 and 5.2, base mode, AES-256-GCM) for a KEM's shared secret."""
    suite, name = b"HPKE" + struct.pack(">HHH", kem, kdf, 2), {1: "sha256", 2: "sha384"}[kdf]
    context = b"\0" + extract(suite, name, b"", b"psk_id_hash", b"") + extract(suite, name, b"", b"info_hash", info)
    secret = extract(suite, name, shared, b"secret", b"")
    key = expand(suite, name, secret, b"key", context, 32)
    return AESGCM(key).encrypt(expand(suite, name, secret, b"base_nonce", context, 12), key32, None)


def x_wing_private(seed: bytes) -> bytes:
    """draft-connolly-cfrg-xwing-kem, 5.2: our private keys are what X-Wing expands its seed to."""
    return hashlib.shake_256(seed).digest(96)


@pytest.mark.parametrize("vector", X_WING["vectors"], ids=lambda vector: vector["seed"][:8])
def test_our_kem_is_x_wing(vector: dict[str, str]) -> None:
    """An independent ML-KEM encapsulates as the draft says; the shared secret is the published one; and what HPKE
    makes of that opens with our key.
    """
    private, eseed = x_wing_private(bytes.fromhex(vector["seed"])), bytes.fromhex(vector["eseed"])
    owner = SealingKey(private)
    ss_m, ct_m = ML_KEM_768._encaps_internal(owner.public[:1184], eseed[:32])
    ephemeral = X25519PrivateKey.from_private_bytes(eseed[32:])
    pk_x, ct_x = owner.public[1184:], ephemeral.public_key().public_bytes_raw()
    ss_x = ephemeral.exchange(X25519PublicKey.from_public_bytes(pk_x))
    shared = hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + rb"\.//^" + b"\\").digest()
    assert shared.hex() == vector["ss"], "the published shared secret"
    sealed = ct_m + ct_x + sealed_with(shared, 0x647A, 1, bytes(32), INFO)
    assert open_key(owner, sealed, INFO) == bytes(32)
    for name, octets in (("pk", owner.public), ("ct", ct_m + ct_x)):
        assert octets.hex().startswith(vector.get(f"{name}_begins", ""))
        assert octets.hex().endswith(vector.get(f"{name}_ends", ""))


def of_kem(kem: int) -> list[dict]:
    return [vector for vector in HPKE["vectors"] if vector["kem_id"] == kem]


def test_hpke_vectors_of_the_first_kem() -> None:
    """draft-ietf-hpke-pq: its vectors for this KEM are with ChaCha20-Poly1305; so the secret is compared."""
    vectors = of_kem(0x647A)
    assert vectors
    for vector in vectors:
        private = x_wing_private(bytes.fromhex(vector["skRm"]))
        owner = SealingKey(private)
        assert owner.public.hex() == vector["pkRm"]
        sealed = sealed_with(bytes.fromhex(vector["shared_secret"]), 0x647A, 1, bytes(range(32)), INFO)
        assert open_key(owner, bytes.fromhex(vector["enc"]) + sealed, INFO) == bytes(range(32))


def test_hpke_vectors_of_the_second_suite() -> None:
    """KEM, KDF and AEAD are those of HYBRID_2: the published ciphertext itself opens."""
    [vector] = of_kem(0x51)
    assert (vector["kdf_id"], vector["aead_id"]) == (2, 2)
    owner = SealingKey(p384_private(bytes.fromhex(vector["skRm"])))
    assert owner.suite is Suite.HYBRID_2 and owner.public.hex() == vector["pkRm"]
    enc = bytes.fromhex(vector["enc"])
    sealed = enc + sealed_with(bytes.fromhex(vector["shared_secret"]), 0x51, 2, bytes(range(32)), INFO)
    assert open_key(owner, sealed, INFO) == bytes(range(32))
    first = vector["encryptions"][0]
    suite = hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM)
    opened = hpke.rust_openssl.hpke._decrypt_with_aad(
        suite,
        enc + bytes.fromhex(first["ct"]),
        owner._parsed,
        info=bytes.fromhex(vector["info"]),
        aad=bytes.fromhex(first["aad"]),
    )
    assert opened.hex() == first["pt"]


def p384_private(seed: bytes) -> bytes:
    """draft-irtf-cfrg-concrete-hybrid-kems: SHAKE256 of the seed gives d || z (64); the first 48 bytes of what follows
    that are less than the order are the scalar.
    """
    stream = hashlib.shake_256(seed).digest(64 + 192)
    for at in range(64, len(stream), 48):
        scalar = int.from_bytes(stream[at : at + 48], "big")
        try:
            ec.derive_private_key(scalar, ec.SECP384R1())
        except ValueError:
            continue
        return stream[:64] + stream[at : at + 48]
    raise AssertionError


def test_the_second_kem_against_another_ml_kem() -> None:
    owner = SealingKey.from_seed(bytes(range(32)), Suite.HYBRID_2)
    ss_m, ct_m = ML_KEM_1024._encaps_internal(owner.public[:1568], bytes(32))
    ephemeral = ec.derive_private_key(7, ec.SECP384R1())
    point = owner.public[1568:]
    shared_point = ephemeral.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point))
    numbers = ephemeral.public_key().public_numbers()
    ct_t = b"\4" + numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big")
    shared = hashlib.sha3_256(ss_m + shared_point + ct_t + point + b"MLKEM1024-P384").digest()
    sealed = ct_m + ct_t + sealed_with(shared, 0x51, 2, bytes(range(32)), INFO)
    assert open_key(owner, sealed, INFO) == bytes(range(32))
    assert len(seal_key(owner.public, bytes(32), INFO)) == len(sealed) == 1713


@pytest.mark.parametrize(("suite", "other"), [(Suite.HYBRID_1, ML_DSA_65), (Suite.HYBRID_2, ML_DSA_87)])
def test_ml_dsa_verifies_elsewhere(suite: Suite, other) -> None:
    signer = SigningKey(bytes(range(64)), suite)
    message = b"holdfast 1 object\0 whatever"
    signature = signer.sign(message)
    public, _ = other._keygen_internal(bytes(range(32, 64)))
    assert signer.public[32:] == public, "the seed gives another key there"
    assert other.verify(public, message, signature[64:], ctx=b"holdfast 1")
    assert not other.verify(public, message, signature[64:], ctx=b"holdfast 2")
    assert not other.verify(public, message + b".", signature[64:], ctx=b"holdfast 1")


def test_ed25519_verifies_elsewhere() -> None:
    for suite in (Suite.HYBRID_1, Suite.HYBRID_2):
        signer = SigningKey(bytes(range(64)), suite)
        signature = signer.sign(b"message")
        assert ed25519_verifies(signer.public[:32], b"message", signature[:64])
        assert not ed25519_verifies(signer.public[:32], b"massage", signature[:64])


# Ed25519 as RFC 8032, 5.1 writes it down, with the curve in affine coordinates: slow, and easily compared with the RFC.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    k = D * a[0] * b[0] * a[1] * b[1]
    return (
        (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P) % P,
        (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P) % P,
    )


def times(n: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def decoded(octets: bytes) -> tuple[int, int]:
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    assert (x * x - square) % P == 0
    return (P - x if x & 1 != sign else x), y


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    base = decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    s = int.from_bytes(signature[32:], "little")
    return s < L and times(s, base) == add(decoded(signature[:32]), times(k, decoded(public)))
