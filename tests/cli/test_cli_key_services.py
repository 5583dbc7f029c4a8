"""A machine without a key file opens a vault by a key management service: moto's, spoken to by boto3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    import boto3

    made = boto3.client("kms", region_name="eu-central-1").create_key()
    yield f"aws-kms://eu-central-1/{made['KeyMetadata']['KeyId']}"
    server.stop()


def test_it_opens_where_there_is_no_key_file(
    terminal: Terminal, vault: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("key", "rotate")
    said = terminal.ok("key", "add-recipient", "--kms", key, "--label", "cloud")
    [keeper] = [word.partition("=")[2] for word in said.err.split() if word.startswith("HOLDFAST_KEEPER=")]
    terminal.ok("key", "rotate")  # wrapped by the service, too
    monkeypatch.setenv("XDG_CONFIG_HOME", str(terminal.folder / "elsewhere"))
    unsure = terminal.run("restore", "llama", "out")
    assert unsure.code == 7 and "nothing says whose signature counts" in unsure.err and "HOLDFAST_KEEPER" in unsure.err
    monkeypatch.setenv("HOLDFAST_KEEPER", "0" * 32)
    assert terminal.run("restore", "llama", "out").code == 7
    monkeypatch.setenv("HOLDFAST_KEEPER", keeper)
    terminal.ok("restore", "llama", "out")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    down = terminal.run("restore", "llama", "out2")
    assert down.code == 8 and "AWS KMS does not answer" in down.err


def test_a_vault_without_one_asks_for_a_key_as_before(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(terminal.folder / "elsewhere"))
    said = terminal.run("vault", "info", vault)
    assert said.code == 7 and "copy the key file there" in said.err
