"""Sealing keys: sizes, composition of the two halves, and that nothing opens but with the right key and info."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from holdfast.errors import CredentialError, DamageError, RefusedError, UsageError, WrongKeyError
from holdfast.trust.sealing import SealingKey, open_key, seal_key

KEY = bytes(range(32))
INFO = b"holdfast test\0pack"
OWNER = SealingKey(bytes(range(96)))


def test_a_key_is_the_two_halves_one_after_the_other() -> None:
    private = OWNER.to_bytes()
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:64]).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(private[64:]).public_key().public_bytes_raw()
    assert (len(private), len(mlkem), len(x25519)) == (96, 1184, 32)
    assert OWNER.public == mlkem + x25519


def test_what_is_sealed_opens_with_the_private_key_alone() -> None:
    sealed = seal_key(OWNER.public, KEY, INFO)
    assert len(sealed) == 1168
    assert KEY not in sealed
    assert open_key(OWNER, sealed, INFO) == KEY
    with pytest.raises(WrongKeyError) as caught:
        open_key(SealingKey.generate(), sealed, INFO)
    assert caught.value.hint


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal_key(OWNER.public, KEY, INFO) != seal_key(OWNER.public, KEY, INFO)


@pytest.mark.parametrize("info", [b"", INFO + b"\0", INFO[:-1], b"another place"])
def test_another_info_does_not_open(info: bytes) -> None:
    with pytest.raises(WrongKeyError):
        open_key(OWNER, seal_key(OWNER.public, KEY, INFO), info)


@pytest.mark.parametrize("half", ["ML-KEM", "X25519"])
def test_both_halves_of_the_private_key_are_needed(half: str) -> None:
    stranger = SealingKey.generate().to_bytes()
    own = OWNER.to_bytes()
    mixed = own[:64] + stranger[64:] if half == "ML-KEM" else stranger[:64] + own[64:]
    with pytest.raises(WrongKeyError):
        open_key(SealingKey(mixed), seal_key(OWNER.public, KEY, INFO), INFO)


@pytest.mark.parametrize("position", [0, 1087, 1088, 1119, 1120, 1151, 1152, 1167])
def test_every_part_of_a_sealed_key_is_protected(position: int) -> None:
    sealed = bytearray(seal_key(OWNER.public, KEY, INFO))
    sealed[position] ^= 0x80
    with pytest.raises(WrongKeyError):
        open_key(OWNER, bytes(sealed), INFO)


def test_an_x25519_point_of_low_order_is_refused_on_both_sides() -> None:
    sealed = seal_key(OWNER.public, KEY, INFO)
    with pytest.raises(WrongKeyError):
        open_key(OWNER, sealed[:1088] + bytes(32) + sealed[1120:], INFO)
    with pytest.raises(DamageError):
        seal_key(OWNER.public[:1184] + bytes(32), KEY, INFO)


def test_malformed_input_is_named_as_such() -> None:
    with pytest.raises(DamageError, match="1168 bytes, not 1167"):
        open_key(OWNER, seal_key(OWNER.public, KEY, INFO)[:-1], INFO)
    with pytest.raises(DamageError, match="1216 or 1665 bytes, not 0"):
        seal_key(b"", KEY, INFO)
    with pytest.raises(DamageError, match="malformed"):  # ML-KEM coefficients that are not reduced
        seal_key(b"\xff" * 1184 + OWNER.public[1184:], KEY, INFO)
    with pytest.raises(UsageError, match="32 bytes, not 31"):
        seal_key(OWNER.public, KEY[1:], INFO)
    with pytest.raises(CredentialError, match="96 or 112 bytes, not 95"):
        SealingKey.from_bytes(bytes(95))


def test_generated_keys_differ_and_survive_their_bytes() -> None:
    one, other = SealingKey.generate(), SealingKey.generate()
    assert one != other
    again = SealingKey.from_bytes(one.to_bytes())
    assert again == one
    assert hash(again) == hash(one)
    assert again.public == one.public


def test_a_private_key_is_neither_shown_nor_pickled() -> None:
    for shown in (repr(OWNER), str(OWNER), f"{OWNER}"):
        assert shown == "<SealingKey>"
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(RefusedError, match="never pickled"):
            escape(OWNER)
