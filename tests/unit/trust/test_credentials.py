"""Credentials: what fits a role, what a key file says, and that no secret shows."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import CredentialError, HoldfastError, RefusedError, UnsupportedFormatError, UsageError
from holdfast.trust.credentials import (
    ROLES,
    Credential,
    decode_credential,
    encode_credential,
    load_credential,
    write_credential,
)
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey, fingerprint

VAULT = "00112233445566778899aabbccddeeff"
SIGNER = SigningKey(b"signing secret one.............." * 2)
OPENER = SealingKey(b"opening secret one.............." * 3)
PIN = fingerprint(SIGNER.public)
CHUNK_ID_KEY, INDEX_KEY = b"chunk-id secret.................", b"index secret...................."

KEEPER = Credential(role="keeper", vault_id=VAULT, signer=SIGNER, opener=OPENER, keepers=(PIN,))
READER = Credential(role="reader", vault_id=VAULT, label="restore", opener=OPENER)
WRITER = Credential(
    role="writer",
    vault_id=VAULT,
    label="rank-0",
    signer=SIGNER,
    chunk_id_key=CHUNK_ID_KEY,
    index_key=INDEX_KEY,
    keepers=(PIN, "f" * 32),
)
ALL = [KEEPER, READER, WRITER]


@pytest.mark.parametrize("credential", ALL, ids=lambda credential: credential.role)
def test_a_key_file_gives_back_what_was_written(credential: Credential, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    write_credential(credential, path)
    assert load_credential(path) == credential
    assert load_credential(str(path)).keepers == credential.keepers


def test_credentials_without_a_sealing_key() -> None:
    """A vault of public data needs none, and a passphrase may stand in for it; a keeper is then pinned."""
    for role in ROLES:
        signer = None if role == "reader" else SIGNER
        bare = Credential(role=role, vault_id=VAULT, signer=signer, keepers=(PIN,))
        assert decode_credential(encode_credential(bare), "bare") == bare


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"role": "owner"}, "role"),
        ({"vault_id": "0" * 31}, "vault id"),
        ({"vault_id": VAULT.upper()}, "vault id"),
        ({"label": "../x"}, "label"),
        ({"label": "-x"}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"label": "x\n"}, "label"),
        ({"keepers": ("ff",)}, "fingerprint"),
        ({"chunk_id_key": bytes(31)}, "32 bytes"),
        ({"index_key": None}, "come together"),
        ({"signer": None}, "signing key"),
        ({"opener": OPENER}, "no key that opens"),
        ({"keepers": ()}, "pin a keeper"),
        ({"role": "reader", "opener": OPENER}, "signing key"),
        ({"role": "keeper", "opener": OPENER}, "only writers"),
    ],
)
def test_what_does_not_fit_the_role_is_refused(change: dict[str, Any], problem: str) -> None:
    fields = {name: getattr(WRITER, name) for name in WRITER.__dataclass_fields__}
    with pytest.raises(UsageError, match=problem):
        Credential(**{**fields, **change})


@pytest.mark.parametrize("credential", ALL, ids=lambda credential: credential.role)
def test_no_secret_shows(credential: Credential) -> None:
    shown = f"{credential!r} {credential!s} {[credential]} {credential.signer} {credential.opener}"
    for secret in (SIGNER.to_bytes(), OPENER.to_bytes(), CHUNK_ID_KEY, INDEX_KEY):
        for form in (
            secret.decode()[:12],
            repr(secret)[2:10],
            secret.hex()[:12],
            base64.b64encode(secret).decode()[:12],
        ):
            assert form not in shown
    assert VAULT in repr(credential)
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(RefusedError, match="never pickled"):
            escape(credential)


def test_a_credential_does_not_change() -> None:
    with pytest.raises(AttributeError):
        KEEPER.role = "reader"  # type: ignore[misc]  # that this cannot be done is the point


def damaged(**change: Any) -> bytes:
    """The writer's key file with members replaced, or dropped when None."""
    document = {**json.loads(encode_credential(WRITER)), **change}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json at all",
        b"[]",
        b"{}",
        b'"holdfast_key"',
        b'{"holdfast_key": "1"}',
        b'{"holdfast_key": 1}',
        b'{"holdfast_key": 1, "role": "\xff"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "holdfast_key": 1}',
        encode_credential(WRITER)[:-20],
        encode_credential(WRITER) + b"{}",
        damaged(holdfast_key=0),
        damaged(role="owner"),
        damaged(role="keeper"),
        damaged(vault="f" * 32),
        damaged(label="rank-1"),
        damaged(label=""),
        damaged(signer="AAAA"),
        damaged(signer="no base 64"),
        damaged(signer=base64.b64encode(bytes(64)).decode()),
        damaged(chunk_id_key=base64.b64encode(bytes(32)).decode()),
        damaged(index_key=None),
        damaged(keepers=[PIN]),
        damaged(keepers=["f" * 32, PIN]),
        damaged(keepers=7),
        damaged(check="0" * 32),
        damaged(check=None),
    ],
    ids=itertools.count(),
)
def test_a_malformed_key_file_is_named_and_never_quoted(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(CredentialError, match=r"broken\.key") as caught:
        load_credential(path)
    assert caught.value.object_name == str(path)
    assert caught.value.__context__ is None, "a decoder's error would quote the file"
    trace = "".join(traceback.format_exception(caught.value))
    assert base64.b64encode(CHUNK_ID_KEY).decode() not in trace


def test_two_keys_exchanged_is_damage() -> None:
    """Both are 32 bytes: only the check tells, and with them exchanged nothing that was saved would be found."""
    keys = {name: base64.b64encode(getattr(WRITER, name)).decode() for name in ("chunk_id_key", "index_key")}
    with pytest.raises(CredentialError, match="damaged"):
        decode_credential(damaged(chunk_id_key=keys["index_key"], index_key=keys["chunk_id_key"]), "x")


def test_a_later_version_says_so() -> None:
    with pytest.raises(UnsupportedFormatError, match=r"k\.key was written by a newer version") as caught:
        decode_credential(b'{"holdfast_key": 3, "role": {"of": "another shape"}}', "k.key")
    assert "newer version" in caught.value.hint


def test_members_that_are_not_known_are_ignored() -> None:
    assert decode_credential(damaged(comment="written on paper, typed in again"), "x") == WRITER


def test_errors_have_the_exit_code_of_credentials() -> None:
    with pytest.raises(HoldfastError) as caught:
        decode_credential(b"", "x")
    assert caught.value.exit_code == 7
