"""Hybrid signatures: a signature counts only if both of its halves verify."""

from __future__ import annotations

import pickle

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from holdfast.errors import CredentialError, RefusedError, UntrustedError
from holdfast.trust.signing import SigningKey, fingerprint, verify

SIGNER = SigningKey(bytes(range(64)))
STRANGER = SigningKey(bytes(64))
MESSAGE = b"holdfast test\0a snapshot"
SIGNATURE = SIGNER.sign(MESSAGE)


def test_a_key_is_the_two_halves_one_after_the_other() -> None:
    private = SIGNER.to_bytes()
    ed = Ed25519PrivateKey.from_private_bytes(private[:32]).public_key().public_bytes_raw()
    ml = MLDSA65PrivateKey.from_seed_bytes(private[32:]).public_key().public_bytes_raw()
    assert (len(private), len(ed), len(ml)) == (64, 32, 1952)
    assert SIGNER.public == ed + ml


def test_a_signature_verifies_with_both_libraries_halves() -> None:
    assert len(SIGNATURE) == 64 + 3309
    verify(SIGNER.public, MESSAGE, SIGNATURE)
    private = SIGNER.to_bytes()
    Ed25519PrivateKey.from_private_bytes(private[:32]).public_key().verify(SIGNATURE[:64], MESSAGE)
    MLDSA65PrivateKey.from_seed_bytes(private[32:]).public_key().verify(SIGNATURE[64:], MESSAGE, b"holdfast 1")


@pytest.mark.parametrize("position", [0, 32, 63, 64, 2000, 3372])
def test_a_flipped_bit_in_either_half_of_the_signature_fails(position: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[position] ^= 1
    with pytest.raises(UntrustedError, match=fingerprint(SIGNER.public)):
        verify(SIGNER.public, MESSAGE, bytes(changed))


@pytest.mark.parametrize("kept", ["Ed25519", "ML-DSA"])
def test_one_genuine_half_is_not_enough(kept: str) -> None:
    forged = STRANGER.sign(MESSAGE)
    mixed = SIGNATURE[:64] + forged[64:] if kept == "Ed25519" else forged[:64] + SIGNATURE[64:]
    with pytest.raises(UntrustedError):
        verify(SIGNER.public, MESSAGE, mixed)


@pytest.mark.parametrize("kept", ["Ed25519", "ML-DSA"])
def test_a_public_key_with_one_foreign_half_fails(kept: str) -> None:
    own, foreign = SIGNER.public, STRANGER.public
    mixed = own[:32] + foreign[32:] if kept == "Ed25519" else foreign[:32] + own[32:]
    with pytest.raises(UntrustedError):
        verify(mixed, MESSAGE, SIGNATURE)


def test_a_half_made_for_another_use_of_ml_dsa_fails() -> None:
    """The context string keeps a key that also signs elsewhere from vouching for us."""
    elsewhere = MLDSA65PrivateKey.from_seed_bytes(SIGNER.to_bytes()[32:]).sign(MESSAGE)
    with pytest.raises(UntrustedError):
        verify(SIGNER.public, MESSAGE, SIGNATURE[:64] + elsewhere)


def test_another_message_fails() -> None:
    for message in (b"", MESSAGE + b"\0", MESSAGE[:-1]):
        with pytest.raises(UntrustedError):
            verify(SIGNER.public, message, SIGNATURE)


def test_malformed_input_is_untrusted() -> None:
    with pytest.raises(UntrustedError, match="3373 bytes, not 3372"):
        verify(SIGNER.public, MESSAGE, SIGNATURE[:-1])
    with pytest.raises(UntrustedError, match="1984 or 2624 bytes, not 1983"):
        verify(SIGNER.public[:-1], MESSAGE, SIGNATURE)
    with pytest.raises(UntrustedError):  # no point of the curve
        verify(b"\xff" * 1984, MESSAGE, SIGNATURE)
    with pytest.raises(CredentialError, match="64 bytes, not 32"):
        SigningKey.from_bytes(bytes(32))


def test_signatures_are_randomized_and_all_verify() -> None:
    again = SIGNER.sign(MESSAGE)
    assert again != SIGNATURE
    verify(SIGNER.public, MESSAGE, again)


def test_the_fingerprint_names_the_whole_public_key() -> None:
    assert fingerprint(SIGNER.public) == blake3(SIGNER.public, derive_key_context="holdfast 1 signer").hexdigest()[:32]
    for position in (0, 1983):
        changed = bytearray(SIGNER.public)
        changed[position] ^= 1
        assert fingerprint(bytes(changed)) != fingerprint(SIGNER.public)


def test_generated_keys_differ_and_survive_their_bytes() -> None:
    one = SigningKey.generate()
    assert one != SigningKey.generate()
    again = SigningKey.from_bytes(one.to_bytes())
    assert again == one
    assert hash(again) == hash(one)
    verify(one.public, MESSAGE, again.sign(MESSAGE))


def test_a_private_key_is_neither_shown_nor_pickled() -> None:
    assert (repr(SIGNER), str(SIGNER)) == ("<SigningKey>", "<SigningKey>")
    with pytest.raises(RefusedError, match="never pickled"):
        pickle.dumps(SIGNER)
