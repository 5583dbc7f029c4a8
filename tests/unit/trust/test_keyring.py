"""The keyring: which key file serves a vault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.errors import CredentialError, PermissionDeniedError, RefusedError
from holdfast.trust.credentials import ROLES, Credential, Role
from holdfast.trust.keyring import (
    find_credential,
    key_folder,
    list_credentials,
    passphrase_from_environment,
    store_credential,
)
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey

VAULT, OTHER = "0" * 32, "1" * 32
SIGNER, OPENER = SigningKey(bytes(64)), SealingKey(bytes(96))


def credential(role: Role, label: str = "", vault: str = VAULT) -> Credential:
    return Credential(
        role=role,
        vault_id=vault,
        label=label,
        signer=None if role == "reader" else SIGNER,
        opener=None if role == "writer" else OPENER,
        keepers=("f" * 32,),
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path / "home")}


def test_the_folder(tmp_path: Path) -> None:
    assert key_folder({"XDG_CONFIG_HOME": "/etc/x", "HOME": "/h"}) == Path("/etc/x/holdfast/keys")
    for ignored in ("", "relative/path"):
        assert key_folder({"XDG_CONFIG_HOME": ignored, "HOME": "/h"}) == Path("/h/.config/holdfast/keys")
    with pytest.raises(CredentialError, match="HOME") as caught:
        key_folder({})
    assert "HOLDFAST_KEY_FILE" in caught.value.hint


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOLDFAST_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "correct horse")
    path = store_credential(credential("reader"))
    assert path.is_relative_to(tmp_path)
    assert find_credential(VAULT) == credential("reader")
    assert passphrase_from_environment() == "correct horse"


def test_names_of_key_files(environ: dict[str, str]) -> None:
    folder = key_folder(environ)
    assert store_credential(credential("keeper"), environ=environ) == folder / f"{VAULT}.keeper.key"
    assert store_credential(credential("writer", "rank-0"), environ=environ) == folder / f"{VAULT}.writer-rank-0.key"
    with pytest.raises(RefusedError):
        store_credential(credential("keeper"), environ=environ)


def test_the_most_capable_key_is_found(environ: dict[str, str]) -> None:
    store_credential(credential("keeper", vault=OTHER), environ=environ)
    roles: tuple[Role, ...] = ("writer", "reader", "keeper")
    for role in roles:
        store_credential(credential(role), environ=environ)
        assert find_credential(VAULT, environ=environ).role == role
    assert find_credential(VAULT, prefer=("writer", "keeper"), environ=environ).role == "writer"
    assert find_credential(OTHER, environ=environ).vault_id == OTHER


def test_without_a_label_first_then_by_label(environ: dict[str, str]) -> None:
    for label in ("b", "a"):
        store_credential(credential("reader", label), environ=environ)
    assert find_credential(VAULT, environ=environ).label == "a"
    store_credential(credential("reader"), environ=environ)
    assert find_credential(VAULT, environ=environ).label == ""


def test_no_key(environ: dict[str, str]) -> None:
    cases: list[tuple[Sequence[Role], str]] = [
        (["keeper"], "keeper's key"),
        (ROLES, "keeper's or reader's or writer's key"),
    ]
    for prefer, whose in cases:
        with pytest.raises(CredentialError, match=f"no {whose} for the vault {VAULT}") as caught:
            find_credential(VAULT, prefer=prefer, environ=environ)
        assert str(key_folder(environ)) in str(caught.value)
        assert "HOLDFAST_KEY_FILE" in caught.value.hint
    store_credential(credential("writer"), environ=environ)
    with pytest.raises(CredentialError, match="no keeper's"):
        find_credential(VAULT, prefer=("keeper",), environ=environ)


def test_the_named_file_alone_counts(environ: dict[str, str], tmp_path: Path) -> None:
    store_credential(credential("keeper"), environ=environ)
    named = tmp_path / "usb" / "mine.key"
    environ["HOLDFAST_KEY_FILE"] = str(named)
    with pytest.raises(CredentialError, match=r"there is no key file .*mine\.key"):
        find_credential(VAULT, environ=environ)
    assert store_credential(credential("reader"), environ=environ) == named
    assert find_credential(VAULT, environ=environ).role == "reader"
    assert list_credentials(environ) == [(named, credential("reader"))]
    with pytest.raises(CredentialError, match=f"for the vault {VAULT}, not for {OTHER}"):
        find_credential(OTHER, environ=environ)
    with pytest.raises(CredentialError, match="is a reader's, and this needs a keeper's key"):
        find_credential(VAULT, prefer=("keeper",), environ=environ)


def test_a_path_wins_over_the_environment(environ: dict[str, str], tmp_path: Path) -> None:
    environ["HOLDFAST_KEY_FILE"] = str(tmp_path / "not-here.key")
    assert store_credential(credential("writer"), tmp_path / "here.key", environ=environ) == tmp_path / "here.key"
    assert not (tmp_path / "not-here.key").exists()


def test_listing(environ: dict[str, str]) -> None:
    assert list_credentials(environ) == []
    paths = [store_credential(credential("reader", label), environ=environ) for label in ("b", "", "a")]
    (key_folder(environ) / "notes.txt").write_text("not a key file")
    listed = list_credentials(environ)
    assert [path for path, _ in listed] == [paths[1], paths[2], paths[0]]
    assert [found.label for _, found in listed] == ["", "a", "b"]


def test_a_key_that_cannot_be_used_is_not_passed_over(environ: dict[str, str]) -> None:
    store_credential(credential("reader"), environ=environ)
    keeper = store_credential(credential("keeper"), environ=environ)
    keeper.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match=r"keeper\.key"):
        find_credential(VAULT, environ=environ)
    with pytest.raises(PermissionDeniedError, match=r"keeper\.key"):
        list_credentials(environ)
    keeper.chmod(0o600)
    keeper.write_text("{}")
    with pytest.raises(CredentialError, match=r"keeper\.key"):
        find_credential(VAULT, environ=environ)
    assert find_credential(VAULT, prefer=("reader",), environ=environ).role == "reader"


def test_a_file_named_for_another_vault(environ: dict[str, str]) -> None:
    path = store_credential(credential("keeper", vault=OTHER), environ=environ)
    path.rename(path.with_name(f"{VAULT}.keeper.key"))
    with pytest.raises(CredentialError, match=f"for the vault {OTHER}"):
        find_credential(VAULT, environ=environ)


def test_a_key_folder_that_is_none(environ: dict[str, str]) -> None:
    folder = key_folder(environ)
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"")
    with pytest.raises(CredentialError, match="cannot be read: Not a directory"):
        find_credential(VAULT, environ=environ)


def test_the_passphrase_is_taken_as_it_is() -> None:
    assert passphrase_from_environment({"HOLDFAST_PASSPHRASE": " two words\n"}) == " two words\n"
    assert passphrase_from_environment({"HOLDFAST_PASSPHRASE": ""}) is None
    assert passphrase_from_environment({}) is None
