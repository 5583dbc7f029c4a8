"""Recipients: each opens with what is its own, and a mismatch says what is missing."""

from __future__ import annotations

import msgspec
import pytest
from blake3 import blake3

from holdfast.errors import CredentialError, DamageError, UnsupportedFormatError, UsageError, WrongKeyError
from holdfast.trust.credentials import Credential
from holdfast.trust.passphrase import Cost
from holdfast.trust.recipients import (
    Recipient,
    keyfile_recipient,
    passphrase_recipient,
    recipient_id,
    unwrap,
    unwrap_with_private,
    wrap_for_public,
)
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey

VAULT = "00112233445566778899aabbccddeeff"
INFO = b"holdfast test\0epoch 1"
SECRET = bytes(range(96))
OWNER = SealingKey(bytes(range(96)))
READER = Credential(role="reader", vault_id=VAULT, opener=OWNER)
BY_FILE = keyfile_recipient(OWNER.public, "restore host", SECRET, INFO)
BY_PHRASE = passphrase_recipient("correct horse", "the safe", SECRET, INFO, cost=Cost(1, 1, 8))


def test_a_key_file_opens_its_recipient() -> None:
    assert (BY_FILE.kind, BY_FILE.label, BY_FILE.public) == ("keyfile", "restore host", OWNER.public)
    assert BY_FILE.id == recipient_id(OWNER.public)
    assert unwrap(BY_FILE, READER, INFO) == SECRET
    assert unwrap(BY_FILE, OWNER, INFO) == SECRET


def test_a_passphrase_opens_its_recipient() -> None:
    assert (BY_PHRASE.kind, BY_PHRASE.label, BY_PHRASE.public) == ("passphrase", "the safe", b"")
    assert len(bytes.fromhex(BY_PHRASE.id)) == 16
    assert unwrap(BY_PHRASE, "correct horse", INFO) == SECRET


@pytest.mark.parametrize("size", [0, 1, 64, 112, 5000])
def test_wrapping_takes_secrets_of_any_length(size: int) -> None:
    wrapped = wrap_for_public(bytes(size), OWNER.public, INFO)
    assert len(wrapped) == size + 1184
    assert unwrap_with_private(OWNER, wrapped, INFO) == bytes(size)


def test_another_key_another_passphrase_another_info() -> None:
    stranger = SealingKey.generate()
    with pytest.raises(WrongKeyError, match=recipient_id(stranger.public)):
        unwrap(BY_FILE, stranger, INFO)
    with pytest.raises(WrongKeyError):
        unwrap_with_private(stranger, BY_FILE.wrapped, INFO)
    with pytest.raises(WrongKeyError):
        unwrap(BY_PHRASE, "correct horses", INFO)
    for recipient, opener in ((BY_FILE, OWNER), (BY_PHRASE, "correct horse")):
        with pytest.raises(WrongKeyError):
            unwrap(recipient, opener, b"holdfast test\0epoch 2")


def test_a_recipient_that_claims_anothers_public_key_does_not_open() -> None:
    forged = msgspec.structs.replace(BY_FILE, wrapped=wrap_for_public(SECRET, SealingKey.generate().public, INFO))
    with pytest.raises(WrongKeyError):
        unwrap(forged, OWNER, INFO)


def test_a_mismatch_of_kinds_says_what_is_missing() -> None:
    with pytest.raises(WrongKeyError, match="opens with a key file, not with a passphrase"):
        unwrap(BY_FILE, "correct horse", INFO)
    with pytest.raises(WrongKeyError, match="opens with a passphrase, not with a key file"):
        unwrap(BY_PHRASE, READER, INFO)
    writer = Credential(role="writer", vault_id=VAULT, signer=SigningKey(bytes(64)), keepers=("0123456789abcdef" * 2,))
    with pytest.raises(CredentialError, match=f"writer's credential holds no key that opens the vault {VAULT}") as info:
        unwrap(BY_FILE, writer, INFO)
    assert "reader's or keeper's" in info.value.hint


def test_damage() -> None:
    changed = bytearray(BY_FILE.wrapped)
    changed[-1] ^= 1
    with pytest.raises(DamageError, match="changed"):
        unwrap(msgspec.structs.replace(BY_FILE, wrapped=bytes(changed)), OWNER, INFO)
    with pytest.raises(DamageError, match="1184 bytes, not 1183"):
        unwrap(msgspec.structs.replace(BY_FILE, wrapped=BY_FILE.wrapped[:1183]), OWNER, INFO)
    with pytest.raises(DamageError, match="1216"):
        keyfile_recipient(OWNER.public[1:], "", SECRET, INFO)
    with pytest.raises(UsageError, match="empty"):
        passphrase_recipient("", "", SECRET, INFO)


def test_a_later_kind_of_recipient_spares_the_others() -> None:
    stored = msgspec.msgpack.encode([{"kind": "hologram", "label": "", "id": "7", "wrapped": b"?", "k": 3}, BY_FILE])
    later, ours = msgspec.msgpack.decode(stored, type=list[Recipient])
    with pytest.raises(UnsupportedFormatError, match="recipient 7"):
        unwrap(later, OWNER, INFO)
    assert unwrap(ours, OWNER, INFO) == SECRET


def test_records_are_maps_of_five_members() -> None:
    for recipient in (BY_FILE, BY_PHRASE):
        stored = msgspec.msgpack.encode(recipient)
        assert set(msgspec.msgpack.decode(stored)) == {"kind", "label", "id", "public", "wrapped"}
        assert msgspec.msgpack.decode(stored, type=Recipient) == recipient


def test_the_id_is_of_the_public_key() -> None:
    expected = blake3(OWNER.public, derive_key_context="holdfast 1 recipient").hexdigest()[:32]
    assert recipient_id(OWNER.public) == expected
