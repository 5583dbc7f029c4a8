"""Stores over a line: every dialect, folders, and what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from line_traffic import MIB, Sink, saturating

from holdfast.errors import AlreadyExistsError, UsageError
from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store, store_identity
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.servers import AzuriteServer, SeaweedServer


@pytest.mark.servers
def test_every_dialect_goes_over_a_line(seaweed: SeaweedServer, azurite: AzuriteServer, gcs: GcsDouble) -> None:
    for server in (seaweed, azurite, gcs):
        content = os.urandom(9 * MIB)  # in parts
        with server.in_environment(), Line(LineTerms("test")) as line:
            place = f"{server.url}/{os.urandom(6).hex()}"
            routed = line.open_store(place, options=server.options, priority=7)
            direct = open_store(place, options=server.options)
            routed.put("packs/ab/cd", content)
            assert direct.get("packs/ab/cd") == routed.get("packs/ab/cd") == content
            assert routed.get_ranges("packs/ab/cd", [(5, 7), (8 * MIB, 9)]) == [content[5:12], content[8 * MIB :][:9]]
            assert routed.create("roots/x", b"1").size == 1
            with pytest.raises(AlreadyExistsError):
                routed.create("roots/x", b"2")
            routed.put("gone", b"")
            routed.delete("gone")
            assert [info.key for info in routed.list("")] == ["packs/ab/cd", "roots/x"]
            assert store_identity(routed) == store_identity(direct)
            found = line.snapshot()
            (endpoint,) = found.endpoints
            assert endpoint.up_bytes == found.up.bytes >= len(content)
            assert endpoint.down_bytes == found.down.bytes >= len(content)
            assert [priority for priority, _ in found.up.moved] == [7]
            assert endpoint.up
            assert not endpoint.failures
            assert not found.troubles


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with Line(LineTerms("x")) as line:
        for priority in (-1, 10):
            with pytest.raises(UsageError, match="priority"):
                line.open_store(str(tmp_path), priority=priority)
        with pytest.raises(UsageError, match="endpoints"):
            line.open_store(str(tmp_path), endpoints=["http://x"])
        with pytest.raises(UsageError, match="first one"):
            line.open_store("s3://bucket", options={"region": "x"}, endpoints=["http://x"])
        virtual = {"endpoint": "http://bucket.host", "allow_http": "true", "virtual_hosted_style_request": "true"}
        with pytest.raises(UsageError, match="without TLS"):
            line.open_store("s3://bucket", options=virtual)
    with pytest.raises(UsageError, match="closed"):
        line.forward(["http://x"], 5)
    line.close()


def test_without_a_line_nothing_of_it_is_loaded_or_run() -> None:
    script = (
        "import sys, threading\n"
        "import holdfast\n"
        "from holdfast.stores.opening import open_store\n"
        "open_store('memory://x').put('a', b'b')\n"
        "loaded = [name for name in sys.modules if name.startswith('holdfast.stores.lines')]\n"
        "print(loaded, 'asyncio' in sys.modules, threading.active_count())\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found == "[] False 1\n"


def test_a_line_ends_with_everything_it_opened() -> None:
    sink = Sink()
    before = len(os.listdir("/proc/self/fd"))
    line = Line(LineTerms("x"))
    with saturating(line, sink.endpoint, 3, 5):
        time.sleep(0.1)
        line.close()
        line.close()
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) > before + 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    # the engine's own: the loop's selector and its pair of sockets, which stay
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    sink.close()


def test_a_slow_line_may_take_its_time_to_send() -> None:
    """obstore's limit for an answer includes the sending: over a line it is the line that waits for answers."""
    with Line(LineTerms("x")) as line:
        options = {"region": "x"}
        assert client_option(line.open_store("s3://bucket", options=options), "read_timeout") == "10m"
        assert (
            client_option(line.open_store("s3://bucket", options=options | {"read_timeout": "7s"}), "read_timeout")
            == "7s"
        )
        assert client_option(open_store("s3://bucket", options=options), "read_timeout") == "30s"


def client_option(store: Store, name: str) -> object:
    return store._store._store.client_options[name]  # RetryingStore → CloudStore → obstore
