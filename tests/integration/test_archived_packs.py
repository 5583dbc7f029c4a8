"""Packs in an archive class: what a restore says, and asking, waiting and copying, on moto's S3 (RestoreObject)."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moto.moto_api import state_manager
from moto.s3.models import FakeKey
from safetensors.numpy import save_file

from holdfast.errors import ArchivedError, ObjectNotFoundError
from holdfast.stores.archives.azure import AzureArchives
from holdfast.stores.archives.port import Speed, Standing, archives_of
from holdfast.stores.opening import open_store
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, MotoLockServer, s3_client
from holdfast.testing.servers import AzuriteServer

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from terminal import Terminal

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores:
      hot: {{url: {folder}/hot, restore: 0s}}
      cold: {{url: {url}, restore: 5h, options: {{endpoint: "{endpoint}", allow_http: "true", region: us-east-1}}}}
classes:
  training: {{rto: 24h, copies: 1}}
assets:
  llama: {{class: training, home: use1/cold, place: {{synchronous: [use1]}}}}
"""
_RESTORE = "s3::keyrestore"


@pytest.fixture(scope="module")
def server() -> Iterator[MotoLockServer]:
    with MotoLockServer() as server:
        yield server


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The archive never comes to an end with what it was asked for, until `_hurry`. (moto leaves the state of an
    object that is asked for unset, and counts that as readable.)
    """
    before = FakeKey.restore

    def restore(key: Any, days: int) -> None:
        before(key, days)
        if key._status is None:
            key.status = "IN_PROGRESS"

    monkeypatch.setattr(FakeKey, "restore", restore)
    _halt()
    yield
    state_manager.unset_transition(_RESTORE)


def _halt() -> None:
    state_manager.set_transition(_RESTORE, {"progression": "manual", "times": 10**9})


def _hurry() -> None:
    state_manager.set_transition(_RESTORE, {"progression": "immediate"})


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name, value in ORDINARY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Terminal(tmp_path / "work", capsys)


@pytest.fixture
def archived(terminal: Terminal, server: MotoLockServer, slow: None) -> Any:
    """A snapshot of one asset in a bucket, whose packs went to Glacier. The bucket's client and name."""
    bucket = server.new_bucket(locking=False)
    url = f"s3://{bucket}/vault"
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder, url=url, endpoint=server.endpoint))
    options = [word for key, value in server.options.items() for word in ("--store-option", f"{key}={value}")]
    terminal.ok("vault", "create", url, *options)
    folder = terminal.folder / "ckpt"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, 6 << 20, dtype=np.uint8)
    save_file({"w": noise}, folder / "model.safetensors")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("tier", "measure", "--at", "use1", "--probe", "--store", "use1/hot", "--store", "use1/cold")
    owner = s3_client(server.endpoint, server.environment)
    for each in owner.list_objects_v2(Bucket=bucket, Prefix="vault/packs/")["Contents"]:
        source = {"Bucket": bucket, "Key": each["Key"]}
        owner.copy_object(Bucket=bucket, Key=each["Key"], CopySource=source, StorageClass="GLACIER")
    return owner, bucket


def test_the_port_lists_asks_and_sees_what_is_readable(server: MotoLockServer, terminal: Terminal, slow: None) -> None:
    bucket = server.new_bucket(locking=False)
    store = open_store(f"s3://{bucket}/vault", options=server.options)
    owner = s3_client(server.endpoint, server.environment)
    owner.put_object(Bucket=bucket, Key="vault/packs/aa/one", Body=b"1" * 10, StorageClass="DEEP_ARCHIVE")
    owner.put_object(Bucket=bucket, Key="vault/packs/aa/two", Body=b"2" * 10)
    archives = archives_of(store)
    assert archives is not None
    assert [(one.key, one.size, one.kind, one.standing) for one in archives.archived("packs/")] == [
        ("packs/aa/one", 10, "DEEP_ARCHIVE", Standing.ARCHIVED)
    ]
    with pytest.raises(ArchivedError, match="has to be asked for"):
        store.get("packs/aa/one")
    with pytest.raises(ArchivedError, match="has to be asked for"):
        store.get_ranges("packs/aa/one", [(2, 3)])
    for _ in range(2):  # asking again is no error
        archives.ask("packs/aa/one", 3, Speed.BULK)
    assert next(archives.archived("packs/")).standing is Standing.ASKED
    _hurry()
    there = next(archives.archived("packs/"))
    assert (there.standing, there.until_ns is not None) == (Standing.READABLE, True)
    assert store.get("packs/aa/one") == b"1" * 10
    with pytest.raises(ObjectNotFoundError):
        archives.ask("packs/aa/none", 1, Speed.STANDARD)


def test_a_restore_says_how_long_it_takes_and_what_it_costs(terminal: Terminal, archived: Any) -> None:
    said = terminal.run("restore", "llama", terminal.folder / "back")
    assert said.code == 1
    assert not (terminal.folder / "back").exists()
    assert "packs of 6.0 MiB that lie in an archive" in said.err and "GLACIER" in said.err
    assert "takes up to 5 h" in said.err and "costs about USD" in said.err
    assert "holdfast tier prewarm llama@" in said.err
    assert len(said.err.splitlines()) < 6, said.err


def test_prewarm_asks_waits_in_bounds_goes_on_and_copies(terminal: Terminal, archived: Any) -> None:
    dry = terminal.json("tier-prewarm", "tier", "prewarm", "llama", "--site", "use1", "--dry-run")
    one = dry["archives"][0]
    assert (one["store"], one["unasked"], one["packs"]) == ("use1/cold", one["packs"], one["packs"])
    assert one["seconds"] == 18_000
    assert one["cost"]["total"] > 0
    owner, bucket = archived
    keys = [each["Key"] for each in owner.list_objects_v2(Bucket=bucket, Prefix="vault/packs/")["Contents"]]
    assert "Restore" not in owner.head_object(Bucket=bucket, Key=keys[0])  # a dry run asks for nothing
    arguments = ["tier", "prewarm", "llama", "--site", "use1", "--json"]
    asked = terminal.run(*arguments, "--wait", "1s")
    assert asked.code == 1
    lines = [json.loads(line) for line in asked.out.splitlines()]
    assert [line["schema"] for line in lines] == ["holdfast/tier-thawing/1", "holdfast/tier-prewarm/1"]
    assert lines[1]["archives"][0]["unasked"] == 0
    assert all('ongoing-request="true"' in owner.head_object(Bucket=bucket, Key=key)["Restore"] for key in keys)
    timer = threading.Timer(0.5, _hurry)
    timer.start()
    done = terminal.run(*arguments, "--wait", "60s")
    timer.join()
    assert done.code == 0, done
    last = json.loads(done.out.splitlines()[-1])
    assert [(move["verb"], move["store"]) for move in last["done"]] == [("copy", "use1/hot")]
    assert last["archives"] == []
    terminal.ok("restore", "llama", terminal.folder / "back", "--vault", str(terminal.folder / "hot"))
    assert (terminal.folder / "back" / "model.safetensors").read_bytes() == (
        terminal.folder / "ckpt" / "model.safetensors"
    ).read_bytes()


@pytest.mark.servers
def test_a_blob_of_azurite_is_archived_asked_for_and_read(azurite: AzuriteServer, tmp_path: Path) -> None:
    """A real Azurite, which refuses to read what is archived, and has it back as soon as it is asked for."""
    with azurite.in_environment():
        store = open_store(f"{azurite.url}/{tmp_path.name}", options=azurite.options)
        for name in ("one", "two"):
            store.put(f"packs/aa/{name}", b"0123456789")
        archives = archives_of(store)
        assert isinstance(archives, AzureArchives)
        archives._client.get_blob_client(f"{tmp_path.name}/packs/aa/one").set_standard_blob_tier("Archive")
        for read in (lambda: store.get("packs/aa/one"), lambda: store.get_ranges("packs/aa/one", [(2, 3)])):
            with pytest.raises(ArchivedError, match="has to be asked for"):
                read()
        found = list(archives.archived("packs/"))
        assert [(one.key, one.kind, one.standing) for one in found] == [("packs/aa/one", "Archive", Standing.ARCHIVED)]
        archives.ask("packs/aa/one", 3, Speed.EXPEDITED)
        archives.ask("packs/aa/one", 3, Speed.STANDARD)
        assert list(archives.archived("packs/")) == []
        assert store.get("packs/aa/one") == b"0123456789"
        with pytest.raises(ObjectNotFoundError):
            archives.ask("packs/aa/none", 1, Speed.STANDARD)


def test_what_is_read_at_once_has_no_archives(tmp_path: Path) -> None:
    assert archives_of(open_store(f"file://{tmp_path}")) is None
    assert archives_of(open_store("gs://bucket/vault", options={"skip_signature": "true"})) is None
