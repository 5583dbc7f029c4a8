"""From a URL to a store: every form, every mistake, and no secret in any message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import HoldfastError, UsageError
from holdfast.stores.cloud_options import option_names
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.opening import open_store
from holdfast.stores.retrying import RetryingStore

CREDENTIAL_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(CREDENTIAL_VARIABLES)]:
        monkeypatch.delenv(name)


# ---- folders ----


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_a_folder(tmp_path: Path, form: str) -> None:
    store = open_store(form.format(tmp_path / "vault"))
    assert isinstance(store, LocalStore)
    assert store.path == tmp_path / "vault"
    assert not store.path.exists()
    store.put("a", b"x")
    assert (tmp_path / "vault/a").read_bytes() == b"x"


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("sub/vault").url == str(tmp_path / "sub/vault")
    assert open_store("C:odd-but-a-name").url == str(tmp_path / "C:odd-but-a-name")


def test_escapes_in_a_file_url_are_resolved_and_those_in_a_path_are_not(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}/with%20space").url == f"{tmp_path}/with space"
    assert open_store(f"{tmp_path}/with%20percent").url == f"{tmp_path}/with%20percent"


@pytest.mark.parametrize(
    "url", ["", "file://", "file://elsewhere/folder", "file://relative", "a\0b", "s3:bucket", "file:x"]
)
def test_what_is_no_folder_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url)


# ---- memory ----


def test_a_memory_store_is_one_per_name_and_process() -> None:
    first = open_store("memory://opening-one")
    first.put("a", b"x")
    assert open_store("memory://opening-one").get("a") == b"x"
    assert list(open_store("memory://opening-two").list("")) == []
    assert first.url == "memory://opening-one"


def test_a_memory_store_takes_the_clock() -> None:
    store = open_store("memory://opening-clock", clock=ManualClock(now_ns=42))
    assert isinstance(store, MemoryStore)
    assert store.put("a", b"x").modified_ns == 42


@pytest.mark.parametrize("url", ["memory://", "memory://a/b", "memory://a b"])
def test_a_memory_store_needs_a_name(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url)


# ---- clouds ----


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/pre/fix", "s3://bucket/pre/fix"),
        ("S3://bucket/pre/fix/", "s3://bucket/pre/fix"),
        ("gs://bucket/pre", "gs://bucket/pre"),
        ("az://container/pre", "az://container/pre"),
    ],
)
def test_a_cloud_store_retries_and_shows_its_url(url: str, shown: str) -> None:
    options = {"account_name": "account"} if url.startswith("az") else {}
    store = open_store(url, options=options)
    assert isinstance(store, RetryingStore)
    assert store.url == shown
    assert store.capabilities.durable
    assert store.capabilities.remote


@pytest.mark.parametrize(
    "url",
    ["s3://", "gs:///prefix", "s3://bucket//prefix", "s3://bucket/a/../b", "s3://bucket/ä", "s3://b ucket", "az://-"],
)
def test_a_cloud_url_needs_a_bucket_and_a_plain_prefix(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert caught.value.hint


@pytest.mark.parametrize("url", ["ftp://host/x", "http://bucket/x", "s3a://bucket", "abfss://c@a/x", "nothing://x"])
def test_other_kinds_are_refused_with_the_forms_that_work(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAUSER:SECRETSECRET@bucket/prefix",
        "s3://SECRETSECRET@bucket",
        "az://account:SECRETSECRET@container/prefix",
        "gs://bucket/prefix?token=SECRETSECRET",
        "az://container/prefix?sv=1&sig=SECRETSECRET",
        "s3://bucket/#SECRETSECRET",
        "memory://SECRETSECRET@name",
        "ftp://user:SECRETSECRET@host/x",
        "https://user:SECRETSECRET@host/x",
    ],
)
def test_a_url_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "SECRETSECRET" not in f"{error} {error.__dict__}"
        error = error.__cause__ or error.__context__


# ---- options ----


@pytest.mark.parametrize("url", ["/tmp/folder", "file:///tmp/folder", "memory://options"])
def test_folders_and_memories_take_no_options(url: str) -> None:
    with pytest.raises(UsageError, match="region"):
        open_store(url, options={"region": "x"})


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_an_unknown_option_is_refused_with_the_known_ones(scheme: str) -> None:
    with pytest.raises(UsageError, match="regoin") as caught:
        open_store(f"{scheme}://bucket", options={"regoin": "x"})
    assert "endpoint" in caught.value.hint


@pytest.mark.parametrize(
    ("scheme", "name", "variable"),
    [
        ("s3", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("s3", "session_token", "AWS_SESSION_TOKEN"),
        ("gs", "service_account_key", "GOOGLE_SERVICE_ACCOUNT_KEY"),
        ("az", "account_key", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("az", "sas_token", "AZURE_STORAGE_SAS_TOKEN"),
    ],
)
def test_an_option_that_holds_a_secret_names_its_variable_instead(scheme: str, name: str, variable: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(f"{scheme}://bucket", options={name: "SECRETSECRET"})
    assert variable in caught.value.hint
    assert "SECRETSECRET" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://127.0.0.1:1"},
        {"endpoint": "http://127.0.0.1:1", "allow_http": "false"},
        {"endpoint": "127.0.0.1:1"},
        {"endpoint": "https://user:SECRETSECRET@host"},
        {"timeout": "ninety"},
        {"allow_http": "perhaps"},
    ],
)
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_options_that_make_no_sense_are_refused(scheme: str, options: dict[str, str]) -> None:
    account = {"account_name": "account"} if scheme == "az" else {}
    with pytest.raises(HoldfastError) as caught:
        open_store(f"{scheme}://bucket", options=options | account)
    assert isinstance(caught.value, UsageError)
    assert "SECRETSECRET" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_every_option_we_name_is_one_that_obstore_knows(scheme: str, tmp_path: Path) -> None:
    values = {
        "endpoint": "https://127.0.0.1",
        "account_name": "account",
        "checksum_algorithm": "SHA256",
        "conditional_put": "etag",
        "server_side_encryption": "AES256",
        "request_payer": "requester",
        "credential_type": "access_key",
        "user_agent": "holdfast",
        "pool_max_idle_per_host": "4",
        "proxy_excludes": "localhost",
        "region": "eu-central-1",
        "s3_express": "false",  # true asks for the name of a zone in that of the bucket
    }
    for kind in ("timeout", "connect_timeout", "read_timeout", "pool_idle_timeout"):
        values[kind] = "20s"
    unusable = {"root_certificate", "service_account", "application_credentials", "credential_type"}  # name real files
    for name in set(option_names(scheme)) - unusable:
        account = {"account_name": "account"} if scheme == "az" else {}
        open_store(f"{scheme}://bucket", options=account | {name: values.get(name, "true")})


def test_an_account_is_needed_for_azure() -> None:
    with pytest.raises(UsageError) as caught:
        open_store("az://container")
    assert "account_name" in f"{caught.value}{caught.value.hint}"


# ---- what is loaded ----


@pytest.mark.parametrize("url", ["{folder}", "memory://light"])
def test_obstore_is_loaded_only_for_clouds(tmp_path: Path, url: str) -> None:
    program = (
        "import sys\n"
        "from holdfast.stores.opening import open_store\n"
        f"open_store({url.format(folder=tmp_path)!r}).put('a', b'x')\n"
        "assert 'obstore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_vocabulary_for_tests_needs_no_pytest() -> None:
    program = (
        "import sys\n"
        "sys.modules['pytest'] = None\n"
        "import holdfast.testing.faults, holdfast.testing.servers, holdfast.testing.gcs_double\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
