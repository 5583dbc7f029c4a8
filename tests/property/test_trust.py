"""For all inputs: what was sealed opens again, and no malformed byte leaks a foreign exception or opens anything."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.errors import (
    CredentialError,
    DamageError,
    HoldfastError,
    UnsupportedFormatError,
    UntrustedError,
    UsageError,
    WrongKeyError,
)
from holdfast.trust.aead import new_cipher
from holdfast.trust.credentials import ROLES, Credential, decode_credential, encode_credential
from holdfast.trust.passphrase import Cost, unwrap_with_passphrase, wrap_with_passphrase
from holdfast.trust.recipients import (
    Recipient,
    keyfile_recipient,
    passphrase_recipient,
    unwrap,
    unwrap_with_private,
    wrap_for_public,
)
from holdfast.trust.sealing import SealingKey, open_key, seal_key
from holdfast.trust.signing import SigningKey, verify
from holdfast.trust.suites import Suite

INFO = b"holdfast test\0info"
CHEAP = Cost(passes=1, lanes=1, memory_kib=8)
SIGNER, OPENER = SigningKey(bytes(range(64))), SealingKey(bytes(range(96)))
SIGNATURE = SIGNER.sign(b"message")
SEALED = seal_key(OPENER.public, bytes(32), INFO)
BY_FILE = keyfile_recipient(OPENER.public, "file", b"secret" * 16, INFO)
BY_PHRASE = passphrase_recipient("correct horse", "phrase", b"secret" * 16, INFO, cost=CHEAP)

infos = st.binary(max_size=80)
nonces = st.integers(0, 2**96 - 1)
suites = st.sampled_from(list(Suite))
hex_names = st.binary(min_size=16, max_size=16).map(bytes.hex)
octets32 = st.binary(min_size=32, max_size=32)
labels = st.from_regex(r"([A-Za-z0-9][A-Za-z0-9._-]{0,20})?", fullmatch=True)
passphrases = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)

quick = settings(deadline=None, max_examples=60)


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """Bytes that differ from the original: some changed, cut, inserted, repeated, or all of them new."""
    kind = draw(st.sampled_from(["flip", "flip", "flip", "cut", "insert", "drop", "replace"]))
    at = draw(st.integers(0, len(original) - 1))
    if kind == "flip":
        flipped = original[at] ^ draw(st.integers(1, 255))
        return original[:at] + bytes([flipped]) + original[at + 1 :]
    if kind == "cut":
        return original[:at]
    if kind == "insert":
        return original[:at] + draw(st.binary(min_size=1, max_size=20)) + original[at:]
    if kind == "drop":
        return original[:at] + original[at + 1 + draw(st.integers(0, 40)) :]
    return draw(st.binary(max_size=2 * len(original)))


@st.composite
def credentials(draw: st.DrawFn) -> Credential:
    role = draw(st.sampled_from(ROLES))
    opener = None if role == "writer" else draw(st.sampled_from([None, OPENER]))
    writer_keys = draw(st.tuples(octets32, octets32)) if role == "writer" and draw(st.booleans()) else (None, None)
    return Credential(
        role=role,
        vault_id=draw(hex_names),
        label=draw(labels),
        signer=None if role == "reader" else SIGNER,
        opener=opener,
        chunk_id_key=writer_keys[0],
        index_key=writer_keys[1],
        keepers=tuple(draw(st.lists(hex_names, min_size=1 if opener is None else 0, max_size=4))),
    )


CREDENTIAL = Credential(
    role="writer",
    vault_id="0123456789abcdef" * 2,
    label="rank-0",
    signer=SIGNER,
    chunk_id_key=bytes(range(32)),
    index_key=bytes(32),
    keepers=("f" * 32, "0" * 32),
)


@quick
@given(key=octets32, info=infos)
def test_sealed_keys_open_again(key: bytes, info: bytes) -> None:
    assert open_key(OPENER, seal_key(OPENER.public, key, info), info) == key


@quick
@given(sealed=mutations(SEALED))
def test_no_mutated_sealed_key_opens(sealed: bytes) -> None:
    assume(sealed != SEALED)
    with pytest.raises(WrongKeyError if len(sealed) == len(SEALED) else DamageError):
        open_key(OPENER, sealed, INFO)


@quick
@given(public=mutations(OPENER.public))
def test_a_mutated_public_key_never_seals_to_the_owner(public: bytes) -> None:
    assume(public != OPENER.public)
    try:
        sealed = seal_key(public, bytes(32), INFO)
    except DamageError:
        return
    with pytest.raises(WrongKeyError):
        open_key(OPENER, sealed, INFO)


@quick
@given(suite=suites, key=octets32, nonce=nonces, data=st.binary(max_size=3000), aad=infos)
def test_blobs_open_again(suite: Suite, key: bytes, nonce: int, data: bytes, aad: bytes) -> None:
    cipher = new_cipher(suite, key)
    sealed = cipher.seal(nonce, data, aad)
    room = bytearray(len(data) + 16)
    assert cipher.seal_into(nonce, data, aad, memoryview(room)) == len(sealed) == len(data) + 16
    assert room == sealed
    assert cipher.open(nonce, sealed, aad) == data
    opened = bytearray(len(data))
    assert cipher.open_into(nonce, sealed, aad, memoryview(opened)) == len(data)
    assert opened == data


@quick
@given(suite=suites, data=st.binary(max_size=200), aad=infos, drawn=st.data())
def test_no_mutated_blob_opens(suite: Suite, data: bytes, aad: bytes, drawn: st.DataObject) -> None:
    cipher = new_cipher(suite, bytes(32))
    sealed = cipher.seal(1, data, aad)
    changed = drawn.draw(mutations(sealed))
    assume(changed != sealed)
    with pytest.raises(DamageError):
        cipher.open(1, changed, aad)
    with pytest.raises(DamageError):
        cipher.open_into(1, changed, aad, memoryview(bytearray(len(changed))))


@quick
@given(nonces_and_aads=st.tuples(nonces, infos, nonces, infos), suite=suites)
def test_a_blob_opens_only_at_its_place(nonces_and_aads: tuple[int, bytes, int, bytes], suite: Suite) -> None:
    nonce, aad, other_nonce, other_aad = nonces_and_aads
    assume((nonce, aad) != (other_nonce, other_aad))
    cipher = new_cipher(suite, bytes(32))
    with pytest.raises(DamageError):
        cipher.open(other_nonce, cipher.seal(nonce, b"data", aad), other_aad)


@quick
@given(message=st.binary(max_size=300))
def test_signatures_verify(message: bytes) -> None:
    verify(SIGNER.public, message, SIGNER.sign(message))


@quick
@given(signature=mutations(SIGNATURE), public=st.one_of(st.none(), mutations(SIGNER.public)))
def test_no_mutated_signature_or_key_verifies(signature: bytes, public: bytes | None) -> None:
    assume(signature != SIGNATURE and public != SIGNER.public)
    with pytest.raises(UntrustedError):
        verify(SIGNER.public, b"message", signature)
    if public is not None:
        with pytest.raises(UntrustedError):
            verify(public, b"message", SIGNATURE)


@quick
@given(passphrase=passphrases, secret=st.binary(max_size=200), info=infos)
def test_secrets_under_a_passphrase_open_again(passphrase: str, secret: bytes, info: bytes) -> None:
    assert (
        unwrap_with_passphrase(passphrase, wrap_with_passphrase(passphrase, secret, info, cost=CHEAP), info) == secret
    )


@quick
@given(passphrase=st.text(max_size=20), wrapped=mutations(BY_PHRASE.wrapped))
def test_any_text_against_any_bytes(passphrase: str, wrapped: bytes) -> None:
    assume(wrapped != BY_PHRASE.wrapped)
    assume(wrapped[1:8] == BY_PHRASE.wrapped[1:8] or len(wrapped) < 40)  # forged costs, within bounds, take long
    with pytest.raises((WrongKeyError, DamageError, UsageError)):
        unwrap_with_passphrase(passphrase, wrapped, INFO)


@quick
@given(secret=st.binary(max_size=300), info=infos)
def test_secrets_wrapped_for_a_public_key_open_again(secret: bytes, info: bytes) -> None:
    assert unwrap_with_private(OPENER, wrap_for_public(secret, OPENER.public, info), info) == secret


@quick
@given(wrapped=mutations(BY_FILE.wrapped))
def test_no_mutated_wrap_opens(wrapped: bytes) -> None:
    assume(wrapped != BY_FILE.wrapped)
    with pytest.raises((WrongKeyError, DamageError)):
        unwrap_with_private(OPENER, wrapped, INFO)


@quick
@given(stored=mutations(msgspec.msgpack.encode(BY_FILE)))
def test_a_mutated_recipient_gives_the_secret_or_a_named_error(stored: bytes) -> None:
    try:
        recipient = msgspec.msgpack.decode(stored, type=Recipient)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return  # the reader of the configuration turns these into damage
    try:
        assert unwrap(recipient, OPENER, INFO) == b"secret" * 16  # its id or label was changed
    except HoldfastError as error:
        assert isinstance(error, (WrongKeyError, DamageError))


@quick
@given(credential=credentials())
def test_credentials_survive_their_key_file(credential: Credential) -> None:
    text = encode_credential(credential)
    again = decode_credential(text, "file")
    assert again == credential
    assert encode_credential(again) == text


@settings(deadline=None, max_examples=300)
@given(text=mutations(encode_credential(CREDENTIAL)))
def test_a_mutated_key_file_is_refused_or_means_the_same(text: bytes) -> None:
    try:
        assert decode_credential(text, "file") == CREDENTIAL  # white space was changed, or an unknown member added
    except (CredentialError, UnsupportedFormatError) as error:
        assert "file" in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@quick
@given(
    changes=st.dictionaries(
        st.sampled_from(sorted(json.loads(encode_credential(CREDENTIAL)))), json_values, min_size=1, max_size=3
    )
)
def test_any_json_in_any_member_is_refused_or_means_the_same(changes: dict[str, object]) -> None:
    text = json.dumps({**json.loads(encode_credential(CREDENTIAL)), **changes}).encode()
    try:
        assert decode_credential(text, "file") == CREDENTIAL
    except (CredentialError, UnsupportedFormatError) as error:
        assert "file" in str(error)
