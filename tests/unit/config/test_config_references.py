"""Secrets are where their references say, and nowhere else: not in the file, an error, a log or a repr."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from config_texts import changed, problems_of

from holdfast.config.references import resolve
from holdfast.config.values import is_reference, looks_secret, shown
from holdfast.config.words import Reference
from holdfast.errors import CredentialError

SECRET = "Tr0ub4dor&3-correct-horse"
KEY = Reference("environment", "KEY")


def put(folder: Path, data: bytes, mode: int = 0o600) -> Reference:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return Reference("file", "secret")


def test_a_reference_is_resolved_where_it_is_used(tmp_path: Path) -> None:
    assert resolve(KEY, tmp_path, {"KEY": SECRET}).reveal() == SECRET
    assert resolve(put(tmp_path, f"{SECRET}\n".encode()), tmp_path, {}).reveal() == SECRET
    assert resolve(Reference("file", str(tmp_path / "secret")), Path("/"), {}).reveal() == SECRET


def test_a_secret_shows_itself_only_when_asked(tmp_path: Path) -> None:
    secret = resolve(KEY, tmp_path, {"KEY": SECRET})
    assert f"{secret!r} {secret} {[secret]}".count("<secret of ${KEY}>") == 3
    for wander in (pickle.dumps, copy.deepcopy):
        with pytest.raises(CredentialError, match="never pickled or copied"):
            wander(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        (f"{SECRET}\n{SECRET}\n".encode(), 0o600, "no single line"),
        (SECRET.encode() + b"\x00", 0o600, "no single line"),
        (SECRET.encode() + b"\xff", 0o600, "no text in UTF-8"),
        (SECRET.encode(), 0o640, "others may read"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (SECRET.encode() * 4000, 0o600, "more than 64 KiB"),
    ],
)
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, data: bytes, mode: int, said: str) -> None:
    with pytest.raises(CredentialError) as caught:
        resolve(put(tmp_path, data, mode), tmp_path, {})
    error = caught.value
    assert said in error.message and "file:secret" in error.message
    told = f"{error.message} {error.hint} {error!r} {error.__cause__!r} {error.__context__ if error.__cause__ else ''}"
    assert SECRET not in told and SECRET[:8] not in told


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}, {"OTHER": SECRET}])
def test_a_variable_that_is_not_set_is_told(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(CredentialError, match=r"\$\{KEY\} is not set, or empty"):
        resolve(KEY, tmp_path, environment)
    with pytest.raises(CredentialError, match="cannot be read: No such file"):
        resolve(Reference("file", "nothing"), tmp_path, {})


def test_what_is_a_reference() -> None:
    assert [text for text in ("${A}", "${a_1}", "file:x", "file:/x y", "file:../x") if not is_reference(text)] == []
    wrong = ("$A", "${A", "${A}b", "x${A}", "${1}", "${A-b}", "file:", "file:///x", "File:x", "env:A", "file:a\nb", "")
    assert [text for text in wrong if is_reference(text)] == []


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
        "https://hooks.slack.com/services/T000/B000/XXXX",
        "xoxb-123456-abcdef",
        "ghp_0123456789abcdefghijABCDEFGHIJ456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc",
        "https://user:password@host/",
        "AccountKey=abc123==",
        "https://x.blob.core.windows.net/c?sv=2020&sig=abc",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_refused_and_never_shown(secret: str) -> None:
    assert looks_secret(secret)
    assert secret not in shown(secret)
    for text in (
        changed("classes:", f'notify: {{slack: "{secret}"}}\nclasses:'),
        changed('{endpoint: "https://s3.fra.example"}', f'{{region: "{secret}"}}'),
        changed('{endpoint: "https://s3.fra.example"}', f'{{endpoint: "{secret}"}}'),
        changed("gs://acme-euw4", f'"gs://x?{secret}"'),
        changed("cloud: gcp", f'cloud: "{secret}"'),
        changed("lock: 30d", f'lock: "{secret}"'),
        changed("up: 10Gbit/s", f'up: "{secret}"'),
    ):
        found = problems_of(text)
        assert found
        assert not any(secret[:12] in message for _, message in found), found


@pytest.mark.parametrize(
    "word", ["us-east-1", "Meta-Llama-3.1-70B-Instruct", "arn:aws:iam::123456789012:role/x", "a" * 64]
)
def test_ordinary_words_look_like_no_secret(word: str) -> None:
    assert not looks_secret(word)
