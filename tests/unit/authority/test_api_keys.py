"""API keys: shown once, kept as a hash, refused when they are anything but what they should be."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from holdfast.authority.api_keys import ApiKey, Register, new_api_key, parse_api_key, principal_of_api_key
from holdfast.authority.register import change_register, decode_register, load_register, revoked_key
from holdfast.authority.settings import Settings
from holdfast.clock import NANOSECONDS
from holdfast.errors import (
    CredentialError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    UsageError,
)

NOW = 1_800_000_000 * NANOSECONDS
DAY = 86_400 * NANOSECONDS
EMPTY = Register(salt=bytes(range(32)))


def made(register: Register = EMPTY, label: str = "ci", **changes):
    given = {"roles": ["trainer"], "scopes": None, "person": "", "now_ns": NOW, "expires_ns": NOW + DAY} | changes
    return new_api_key(register, label, **given)


def test_a_key_says_whose_it_is() -> None:
    register, key, record = made(scopes=["save"], person="user:https://idp#ann")
    found = principal_of_api_key(parse_api_key(key.text.encode() + b"\n"), register, Settings(), NOW)
    assert (found.kind, found.id, found.name, found.person) == ("ApiKey", record.id, "ci", "user:https://idp#ann")
    assert (found.scopes, found.until_ns) == ({"save"}, NOW + DAY)
    assert found.roles(NOW) == {"trainer"}


def test_the_secret_is_nowhere() -> None:
    register, key, record = made()
    secret = key.text[21:73]
    kept = msgspec.json.encode(register).decode()
    for text in (kept, repr(register), repr(record), repr(key), str(key)):
        assert secret not in text
    with pytest.raises(RefusedError):
        pickle.dumps(key)
    assert record.hash.hex() not in repr(record)


def test_two_keys_are_never_alike_and_a_registers_hashes_are_its_own() -> None:
    first, second = (made()[1] for _ in range(2))
    assert first.text[4:20] != second.text[4:20] and first.text[21:73] != second.text[21:73]
    _, key, record = made()
    elsewhere = Register(salt=bytes(32), keys=[record])
    with pytest.raises(CredentialError, match="is not known here"):
        principal_of_api_key(key, elsewhere, Settings(), NOW)


def test_a_revoked_key_counts_no_more_whatever_the_clock_says() -> None:
    """The clock that it was revoked by was ahead, or the one of now is behind."""
    register, key, record = made()
    gone, _ = revoked_key(register, record.id, NOW + 7200 * NANOSECONDS)
    with pytest.raises(CredentialError, match="was revoked"):
        principal_of_api_key(key, gone, Settings(), NOW)


@pytest.mark.parametrize(
    ("at_ns", "said"),
    [(NOW + DAY, "expired at"), (NOW + 9 * DAY, "expired at"), (NOW - DAY, "created at .* which is not")],
)
def test_a_key_has_its_time(at_ns: int, said: str) -> None:
    register, key, _ = made()
    with pytest.raises(CredentialError, match=said) as caught:
        principal_of_api_key(key, register, Settings(), at_ns)
    assert caught.value.exit_code == 7


def test_a_revoked_key_counts_no_more() -> None:
    register, key, record = made()
    register, gone = revoked_key(register, "ci", NOW + 5)
    assert gone.revoked == NOW + 5
    with pytest.raises(CredentialError, match="was revoked at"):
        principal_of_api_key(key, register, Settings(), NOW + 5)
    with pytest.raises(RefusedError, match="revoked already"):
        revoked_key(register, record.id, NOW + 9)
    with pytest.raises(NotFoundError):
        revoked_key(register, "other", NOW)
    again, other, _ = made(register)  # the label is free again
    assert principal_of_api_key(other, again, Settings(), NOW)


def test_an_unknown_key_and_a_wrong_secret_are_told_alike() -> None:
    register, key, _ = made()
    messages = set()
    for wrong in (ApiKey(key.id, "0" * 52), ApiKey("0" * 16, key.text[21:73])):
        with pytest.raises(CredentialError) as caught:
            principal_of_api_key(wrong, register, Settings(), NOW)
        messages.add(caught.value.message.replace(wrong.id, "ID"))
    assert messages == {"the API key ID is not known here"}
    revoked, _ = revoked_key(register, "ci", NOW)
    with pytest.raises(CredentialError, match="is not known here"):  # that it was revoked, only its owner learns
        principal_of_api_key(ApiKey(key.id, "0" * 52), revoked, Settings(), NOW)


def test_every_slip_in_copying_is_noticed() -> None:
    text = made()[1].text
    for at in range(len(text)):
        changed = text[:at] + ("7" if text[at] != "7" else "8") + text[at + 1 :]
        with pytest.raises(CredentialError) as caught:
            parse_api_key(changed.encode())
        assert text[21:60] not in caught.value.message
    for data in (b"", b"hfk_", text[:-1].encode(), text.encode() * 20, text.upper().encode(), b"\xff" * 78):
        with pytest.raises(CredentialError):
            parse_api_key(data)


@pytest.mark.parametrize("role", ["member-keeper", "break-glass", "a b", ""])
def test_roles_that_no_key_gets(role: str) -> None:
    with pytest.raises(UsageError):
        made(roles=[role])


def test_a_label_is_taken_once() -> None:
    register, _, _ = made()
    with pytest.raises(UsageError, match="already"):
        made(register)
    with pytest.raises(UsageError, match="a label has"):
        made(label="a/b")


def test_the_register_is_a_file_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "api-keys.json"
    assert load_register(path) is None

    def add(register: Register) -> tuple[Register, str]:
        changed, key, _ = made(register, f"key-{len(register.keys)}")
        return changed, key.text

    texts = [change_register(path, add) for _ in range(3)]
    assert path.stat().st_mode & 0o777 == 0o600
    register = load_register(path)
    assert register is not None and len(register.keys) == 3
    for text in texts:
        assert principal_of_api_key(parse_api_key(text.encode()), register, Settings(), NOW)
    before = path.read_bytes()
    with pytest.raises(UsageError):
        change_register(path, lambda register: made(register, "key-0"))
    assert path.read_bytes() == before
    path.chmod(0o640)
    with pytest.raises(PermissionDeniedError, match="open to others"):
        load_register(path)
    assert sorted(one.name for one in path.parent.iterdir()) == [".api-keys.json.lock", "api-keys.json"]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[" * 9000, b'{"salt":"","keys":[]}', b"\xff", b'{"salt":"AA==","keys":[]}']
)
def test_a_damaged_register_lets_nobody_in(data: bytes) -> None:
    with pytest.raises(CredentialError):
        decode_register(data, "api-keys.json")


def test_a_register_with_one_id_twice_is_damaged() -> None:
    register, _, record = made()
    twice = msgspec.structs.replace(register, keys=[record, record])
    with pytest.raises(HoldfastError):
        decode_register(msgspec.json.encode(twice), "x")
