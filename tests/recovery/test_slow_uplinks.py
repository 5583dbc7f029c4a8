"""A pack takes longer to send than an answer may take: without a declared line, over a real slow one. Needs root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.errors import StoreUnreachableError
from holdfast.stores import cloud_options
from holdfast.stores.cloud import connect
from holdfast.testing.networks import HERE, Network
from holdfast.testing.site_servers import SeaweedAt

PACK = default_rng(1).bytes(3 << 20)  # 2.5 s at 10 Mbit/s


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SeaweedAt]:
    """Where a second stands for the half minute that is the default, and 3 MiB for the packs that take longer."""
    monkeypatch.setitem(cloud_options._CLIENT_DEFAULTS, "read_timeout", "1s")
    with ExitStack() as held:
        network = held.enter_context(Network("far"))
        server = held.enter_context(SeaweedAt(network["far"], tmp_path))
        held.enter_context(server.in_environment())
        network.link(HERE, "far").set(delay_s=0.01, bits_per_s=10e6)
        yield server


@pytest.mark.servers
def test_a_pack_may_take_longer_to_send_than_an_answer(server: SeaweedAt) -> None:
    store = connect("s3", server.bucket, "", server.options)
    assert store.put("packs/put", PACK).size == len(PACK)
    assert store.create("packs/create", PACK).size == len(PACK)
    assert store.get("packs/put") == PACK
    assert store.create("refs/small", PACK[: 32 << 10]).size == 32 << 10


@pytest.mark.servers
def test_whoever_says_how_long_an_answer_may_take_says_it_for_sending_too(server: SeaweedAt) -> None:
    """The limit counts from the beginning of a request: what makes the other test worth while."""
    store = connect("s3", server.bucket, "", {**server.options, "read_timeout": "1s"})
    with pytest.raises(StoreUnreachableError, match="timeout"):
        store.create("packs/create", PACK)
